import { Tokenizer as BpeTokenizer } from "@huggingface/tokenizers";
import { FormatError, ShapeError } from "../../util/errors.ts";

/** Files of a tokenizer's folder, parsed: `tokenizer.json` whole, or what it is made from. */
export type TokenizerFiles = (
  | { readonly tokenizerJson: Readonly<Record<string, unknown>> }
  | { readonly vocab: Readonly<Record<string, number>>; /** Text of merges.txt. */ readonly merges: string }
) & {
  /** tokenizer_config.json and special_tokens_map.json. */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
  readonly specialTokens?: Readonly<Record<string, unknown>> | undefined;
};

export interface EncodeOptions {
  /** Longer texts are cut; the end token stays. Default: no limit. */
  readonly maxLength?: number;
  /** Shorter texts are filled up to `maxLength` with the padding token. */
  readonly padToMaxLength?: boolean;
}

/** Text to CLIP's token numbers, start and end included. */
export interface Tokenizer {
  encode(text: string, options?: EncodeOptions): number[];
}

const END = "<|endoftext|>";
const START = "<|startoftext|>";

/**
 * CLIP's byte-pair tokenizer (Radford et al. 2021, arXiv 2103.00020).
 * @throws FormatError when a special token is not in the vocabulary
 */
export function createTokenizer(files: TokenizerFiles): Tokenizer {
  const json = "tokenizerJson" in files ? files.tokenizerJson : fromVocabulary(files.vocab, files.merges);
  const bpe = new BpeTokenizer(json as object, (files.config ?? {}) as object);
  const named = (name: string, fallback: string) => tokenText(files.specialTokens?.[name]) ?? tokenText(files.config?.[name]) ?? fallback;
  const [end, pad] = [named("eos_token", END), named("pad_token", END)].map((token) => {
    const id = bpe.token_to_id(token);
    if (id === undefined) throw new FormatError("tokenizer", `${token} is not in the vocabulary`);
    return id;
  }) as [number, number];
  return {
    encode(text, { maxLength = Infinity, padToMaxLength = false } = {}) {
      if (!(maxLength >= 2)) throw new ShapeError("tokenizer", `maxLength ${maxLength}: start and end need 2`);
      const ids = [...bpe.encode(text).ids];
      if (ids.length > maxLength) ids.splice(maxLength - 1, Infinity, end);
      while (padToMaxLength && ids.length < maxLength) ids.push(pad);
      return ids;
    },
  };
}

const tokenText = (value: unknown): string | undefined =>
  typeof value === "string" ? value : (value as { content?: string } | null | undefined)?.content;

/** What CLIP's tokenizer.json says, for folders that hold only its vocabulary and merges. */
function fromVocabulary(vocab: Readonly<Record<string, number>>, merges: string): Record<string, unknown> {
  const added = [START, END].map((content) => ({
    id: vocab[content],
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: true,
    special: true,
  }));
  const words = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
  return {
    version: "1.0",
    added_tokens: added,
    normalizer: {
      type: "Sequence",
      normalizers: [{ type: "NFC" }, { type: "Replace", pattern: { Regex: "\\s+" }, content: " " }, { type: "Lowercase" }],
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
      sep: [END, vocab[END]],
      cls: [START, vocab[START]],
      trim_offsets: false,
      add_prefix_space: false,
    },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true },
    model: {
      type: "BPE",
      unk_token: END,
      continuing_subword_prefix: "",
      end_of_word_suffix: "</w>",
      fuse_unk: false,
      vocab,
      merges: merges.split("\n").filter((line) => line !== "" && !line.startsWith("#version")),
    },
  };
}
