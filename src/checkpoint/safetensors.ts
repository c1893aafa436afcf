import { byteLengthOf, DTYPE_BITS } from "./dtypes.ts";
import { JsonFault, JsonScanner } from "./json.ts";
import {
  checkPart,
  findTensor,
  malformed,
  quote,
  type ByteSource,
  type TensorInfo,
  type TensorSource,
} from "./source.ts";
import { InputError } from "../util/errors.ts";

export const METADATA = "__metadata__";
export const MAX_HEADER = 100_000_000;
const MAX_TENSORS = 1_000_000;
const MAX_NAME = 4096;
const MAX_RANK = 256;

interface Entry extends TensorInfo {
  /** Bytes from the start of the data section. */
  readonly begin: number;
  readonly end: number;
}

/**
 * Opens a safetensors file. Only the header is read; tensors are read one by one, or in parts.
 * Stricter than the reference reader: besides what that one refuses, no key may repeat anywhere, an entry has exactly
 * its three fields, `__metadata__` is a flat string map, and the header begins with `{` and is padded with spaces.
 * @throws FormatError in one line that names the file
 */
export async function openSafetensors(source: ByteSource): Promise<TensorSource> {
  if (typeof source?.read !== "function")
    throw new InputError(
      "openSafetensors",
      `a ByteSource is needed, not a ${typeof source}: fileSource(path) of toile/node makes one`,
    );
  const headerBytes = await readHeaderLength(source);
  const dataStart = 8 + headerBytes;
  const text = decodeHeader(source.name, await source.read(8, headerBytes));
  const metadata = new Map<string, string>();
  const entries = refuse(source.name, () => parseHeader(text, metadata));
  const tensors = layOut(source.name, entries, source.size - dataStart);
  return {
    name: source.name,
    tensors,
    metadata,
    read: async (name, offset = 0, length) => {
      const entry = findTensor(source.name, tensors, name);
      const wanted = length ?? entry.byteLength - offset;
      checkPart(source.name, entry, offset, wanted);
      return source.read(dataStart + entry.begin + offset, wanted);
    },
    close: async () => source.close?.(),
  };
}

async function readHeaderLength(source: ByteSource): Promise<number> {
  if (source.size < 8) throw malformed(source.name, `${source.size} bytes are too few for a safetensors file`);
  const start = await source.read(0, 8);
  const length = new DataView(start.buffer).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER))
    throw malformed(
      source.name,
      `not a safetensors file: its header would have ${length} bytes, at most ${MAX_HEADER} are allowed`,
    );
  if (8n + length > BigInt(source.size))
    throw malformed(source.name, `the header has ${length} bytes, the file only ${source.size - 8} after the length`);
  return Number(length);
}

function decodeHeader(file: string, bytes: Uint8Array): string {
  if (bytes[0] !== 0x7b) throw malformed(file, "the header does not begin with {");
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw malformed(file, "the header is not UTF-8");
  }
}

/** Turns the scanner's fault into a refusal that names the file. */
export function refuse<T>(file: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof JsonFault) throw malformed(file, error.message);
    throw error;
  }
}

function parseHeader(text: string, metadata: Map<string, string>): Entry[] {
  const scanner = new JsonScanner(text);
  const entries: Entry[] = [];
  scanner.object("the header", (name) => {
    if (name === METADATA)
      scanner.object(METADATA, (key) => metadata.set(key, scanner.string(`${METADATA} value ${quote(key)}`)));
    else entries.push(parseEntry(scanner, name));
    if (entries.length > MAX_TENSORS) throw new JsonFault(`the header lists more than ${MAX_TENSORS} tensors`);
  });
  if (!/^ *$/.test(scanner.rest()))
    throw new JsonFault("something other than spaces follows the header's closing brace");
  return entries;
}

function parseEntry(scanner: JsonScanner, name: string): Entry {
  if (name.length > MAX_NAME)
    throw new JsonFault(`a tensor name has ${name.length} characters, at most ${MAX_NAME} are allowed`);
  const what = `tensor ${quote(name)}`;
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  scanner.object(what, (field) => {
    if (field === "dtype") dtype = scanner.string(`dtype of ${what}`);
    else if (field === "shape") shape = integers(scanner, `shape of ${what}`, MAX_RANK);
    else if (field === "data_offsets") offsets = integers(scanner, `data_offsets of ${what}`, 2);
    else throw new JsonFault(`${what} has an unknown field ${quote(field)}`);
  });
  if (dtype === undefined || !shape || !offsets) throw new JsonFault(`${what} lacks dtype, shape or data_offsets`);
  if (!DTYPE_BITS.has(dtype)) throw new JsonFault(`${what} has the unknown dtype ${quote(dtype)}`);
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined) throw new JsonFault(`data_offsets of ${what} are not two numbers`);
  if (begin > end) throw new JsonFault(`${what} begins at ${begin} and ends at ${end}`);
  const byteLength = byteLengthOf(dtype, shape);
  if (byteLength === undefined) throw new JsonFault(`${what} has an impossible size: ${dtype} [${shape.join(", ")}]`);
  if (byteLength !== end - begin)
    throw new JsonFault(`${what} takes ${end - begin} bytes, ${dtype} [${shape.join(", ")}] needs ${byteLength}`);
  return { name, dtype, shape, byteLength, begin, end };
}

function integers(scanner: JsonScanner, what: string, most: number): number[] {
  const values: number[] = [];
  scanner.array(what, (index) => {
    if (index >= most) throw new JsonFault(`${what} has more than ${most} numbers`);
    values.push(scanner.integer(what));
  });
  return values;
}

/** Checks that the tensors cover the data section without hole, overlap or rest, and orders them by place. */
function layOut(file: string, entries: Entry[], dataBytes: number): Map<string, Entry> {
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== at)
      throw malformed(
        file,
        `tensor ${quote(name)} begins at ${begin}, ${begin < at ? "inside another that ends" : "after a hole from"} ${at}`,
      );
    at = end;
  }
  if (at !== dataBytes)
    throw malformed(file, `the tensors take ${at} bytes, the file holds ${dataBytes} after its header`);
  return new Map(entries.map((entry) => [entry.name, entry]));
}
