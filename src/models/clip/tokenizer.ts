import { Tokenizer as BytePairTokenizer } from "@huggingface/tokenizers";
import { FormatError, InputError } from "../../util/errors.ts";

type Json = Readonly<Record<string, unknown>>;

/** Files of a tokenizer's folder, parsed: `tokenizer.json` whole, or what it is made from. */
export type TokenizerFiles = (
  | { readonly tokenizerJson: Json }
  | {
      /** vocab.json. */
      readonly vocab: Readonly<Record<string, number>>;
      /** Text of merges.txt. */
      readonly merges: string;
    }
) & {
  /** tokenizer_config.json. */
  readonly config?: Json | undefined;
  /** special_tokens_map.json; what it names wins over `config`. */
  readonly specialTokens?: Json | undefined;
};

export interface EncodeOptions {
  /** Longer texts are cut; start and end stay and count. Default: no limit. */
  readonly maxLength?: number;
  /** Shorter texts are filled up to `maxLength` with the padding token. */
  readonly padToMaxLength?: boolean;
}

/** Text to CLIP's token numbers, start and end included. */
export interface Tokenizer {
  /** @throws InputError for a `maxLength` below 2 or padding without one */
  encode(text: string, options?: EncodeOptions): number[];
}

const START = "<|startoftext|>";
const END = "<|endoftext|>";

/**
 * CLIP's byte-pair tokenizer (Radford et al. 2021, arXiv 2103.00020), as transformers' CLIPTokenizer cuts and pads.
 * Stable Diffusion 1.5 pads with the end token; other checkpoints name theirs in their files.
 * @throws FormatError when the files make no tokenizer, or a special token is not in the vocabulary
 */
export function createTokenizer(files: TokenizerFiles): Tokenizer {
  const { config = {}, specialTokens = {} } = files;
  const named = (name: string, fallback: string) =>
    tokenText(specialTokens[name]) ?? tokenText(config[name]) ?? fallback;
  const [start, end] = [named("bos_token", START), named("eos_token", END)];
  const whole = "tokenizerJson" in files;
  const bytePairs = build(whole ? files.tokenizerJson : describe(files.vocab, files.merges, start, end), config);
  const endId = idOf(bytePairs, end);
  const padId = idOf(bytePairs, named("pad_token", END));
  return {
    encode(text, { maxLength, padToMaxLength = false } = {}) {
      if (maxLength === undefined && padToMaxLength) throw new InputError("tokenizer", "padding needs a maxLength");
      if (maxLength !== undefined && !(Number.isInteger(maxLength) && maxLength >= 2))
        throw new InputError("tokenizer", `maxLength is ${maxLength}; start and end alone take 2`);
      const ids = [...bytePairs.encode(whole ? text : clean(text)).ids];
      if (maxLength === undefined) return ids;
      if (ids.length > maxLength) ids.splice(maxLength - 1, Infinity, endId);
      while (padToMaxLength && ids.length < maxLength) ids.push(padId);
      return ids;
    },
  };
}

const INVISIBLE = /(?![\t\n\r])[\p{C}\ufffd]/gu;
const IDEOGRAPH =
  /[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b820}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/gu;

/**
 * What CLIPTokenizer does before all else, and tokenizer.json does not say: control, format and unassigned characters
 * go, and each Chinese character is a word.
 */
const clean = (text: string) => text.replace(INVISIBLE, "").replace(IDEOGRAPH, " $& ");

/** A special token's text: a string, or an object that describes it. */
function tokenText(value: unknown): string | undefined {
  const text: unknown = typeof value === "object" && value !== null ? Reflect.get(value, "content") : value;
  return typeof text === "string" ? text : undefined;
}

function idOf(bytePairs: BytePairTokenizer, token: string): number {
  const id = bytePairs.token_to_id(token);
  if (id === undefined) throw new FormatError("tokenizer", `${JSON.stringify(token)} is not in the vocabulary`);
  return id;
}

/** The package trusts what it is given: whatever it trips over means that the files are wrong. */
function build(json: Json, config: Json): BytePairTokenizer {
  try {
    const bytePairs = new BytePairTokenizer(json, config);
    bytePairs.encode("a photo"); // some faults show only in use
    return bytePairs;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split("\n")[0]! : String(error);
    throw new FormatError("tokenizer", `the files make no tokenizer: ${reason}`, { cause: error });
  }
}

/** CLIPTokenizer reads no more merges than its vocabulary of 49,408 has room for; some files go on. */
const MAX_MERGES = 49152 - 256 - 2;

function parseMerges(text: string): string[] {
  const lines = text.replace(/^#version.*\n/, "").split(/\r?\n/);
  const merges = lines.filter((line) => line.trim() !== "").slice(0, MAX_MERGES);
  const wrong = merges.findIndex((line) => !/^\S+ \S+$/.test(line));
  if (wrong >= 0)
    throw new FormatError("tokenizer", `merges.txt: ${JSON.stringify(merges[wrong]!.slice(0, 40))} is not two tokens`);
  return merges;
}

function checkVocabulary(vocab: Readonly<Record<string, number>>): void {
  for (const [token, id] of Object.entries(vocab))
    if (!Number.isInteger(id) || id < 0 || id > 2 ** 24)
      throw new FormatError("tokenizer", `vocab.json: ${JSON.stringify(token.slice(0, 40))} has the number ${id}`);
}

/** What CLIP's tokenizer.json says, for folders that hold only its vocabulary and merges. */
function describe(vocab: Readonly<Record<string, number>>, merges: string, start: string, end: string): Json {
  checkVocabulary(vocab);
  const special = (content: string) => {
    if (!Object.hasOwn(vocab, content))
      throw new FormatError("tokenizer", `${JSON.stringify(content)} is not in the vocabulary`);
    const plain = { single_word: false, lstrip: false, rstrip: false, normalized: true, special: true };
    return { id: vocab[content], content, ...plain };
  };
  const words = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
  return {
    version: "1.0",
    added_tokens: [special(start), special(end)],
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "NFC" },
        { type: "Replace", pattern: { Regex: "\\s+" }, content: " " },
        { type: "Lowercase" },
      ],
    },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: words }, behavior: "Removed", invert: true },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true },
      ],
    },
    post_processor: {
      type: "RobertaProcessing",
      sep: [end, vocab[end]],
      cls: [start, vocab[start]],
      trim_offsets: false,
      add_prefix_space: false,
    },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true },
    model: {
      type: "BPE",
      unk_token: end,
      continuing_subword_prefix: "",
      end_of_word_suffix: "</w>",
      fuse_unk: false,
      vocab,
      merges: parseMerges(merges),
    },
  };
}
