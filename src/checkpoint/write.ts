import { InputError } from "../util/errors.ts";
import { encodeF16 } from "../util/float16.ts";
import { byteLengthOf, DTYPE_BITS } from "./dtypes.ts";
import { MAX_HEADER, METADATA } from "./safetensors.ts";
import { quote } from "./source.ts";

export interface TensorToWrite {
  readonly name: string;
  /** As safetensors spells it. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Little-endian bytes, or numbers to store as F32 or F16. */
  readonly data: Uint8Array | Float32Array;
}

const OP = "encodeSafetensors";

/**
 * A safetensors file, byte for byte as Python's `safetensors.save` writes it: the largest element type first, names
 * in order within a type, the header padded with spaces to a multiple of 8. Metadata keys keep the order they have
 * here (Python writes them in a random order).
 */
export function encodeSafetensors(
  tensors: Iterable<TensorToWrite>,
  metadata: ReadonlyMap<string, string> | Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const parts = safetensorsParts(tensors, metadata);
  const file = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}

/** The same file in pieces, header first: a large checkpoint need not exist twice in memory. */
export function safetensorsParts(
  tensors: Iterable<TensorToWrite>,
  metadata: ReadonlyMap<string, string> | Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const { header, order } = layOut(tensors, metadata);
  return [header, ...order.map((tensor) => bytesOf(tensor, tensor.data))];
}

/** A tensor whose numbers are fetched when its turn comes. */
export interface TensorToFetch extends Omit<TensorToWrite, "data"> {
  readonly fetch: () => Promise<TensorToWrite["data"]>;
}

/** The same file in pieces, one tensor in memory at a time. */
export async function* safetensorsStream(
  tensors: Iterable<TensorToFetch>,
  metadata: Readonly<Record<string, string>> = {},
): AsyncGenerator<Uint8Array> {
  const { header, order } = layOut(tensors, metadata);
  yield header;
  for (const tensor of order) yield bytesOf(tensor, await tensor.fetch());
}

type Declared = Omit<TensorToWrite, "data">;

/** The header's bytes, and the tensors in the order in which their data follow. */
function layOut<T extends Declared>(
  tensors: Iterable<T>,
  metadata: ReadonlyMap<string, string> | Readonly<Record<string, string>>,
): { header: Uint8Array; order: readonly T[] } {
  const order = [...tensors].sort((a, b) => rank(b) - rank(a) || compareText(a.name, b.name));
  const names = new Set<string>();
  const fields: string[] = [];
  const pairs = metadata instanceof Map ? [...(metadata as Map<string, string>)] : Object.entries(metadata);
  if (pairs.length)
    fields.push(`${json(METADATA)}:{${pairs.map(([key, value]) => `${json(key)}:${json(value)}`).join()}}`);
  let at = 0;
  for (const tensor of order) {
    const { name, dtype, shape } = tensor;
    if (names.has(name)) throw new InputError(OP, `two tensors called ${quote(name)}`);
    names.add(name);
    const end = at + sizeOf(tensor);
    fields.push(`${json(name)}:{"dtype":"${dtype}","shape":[${shape.join()}],"data_offsets":[${at},${end}]}`);
    at = end;
  }
  return { header: encodeHeader(`{${fields.join()}}`), order };
}

function encodeHeader(text: string): Uint8Array {
  const header = new TextEncoder().encode(text);
  const padded = Math.ceil(header.length / 8) * 8;
  if (padded > MAX_HEADER)
    throw new InputError(OP, `the header takes ${padded} bytes, at most ${MAX_HEADER} are allowed`);
  const bytes = new Uint8Array(8 + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(header, 8);
  return bytes;
}

/** Bytes of a tensor's data. */
function sizeOf({ name, dtype, shape }: Declared): number {
  if (name === METADATA) throw new InputError(OP, `a tensor may not be called ${METADATA}`);
  const size = shape.every((n) => Number.isSafeInteger(n) && n >= 0) ? byteLengthOf(dtype, shape) : undefined;
  if (!DTYPE_BITS.has(dtype) || size === undefined)
    throw new InputError(OP, `${quote(name)}: no tensor can be ${quote(dtype)} [${shape.join(", ")}]`);
  return size;
}

function bytesOf(declared: Declared, data: TensorToWrite["data"]): Uint8Array {
  const { name, dtype, shape } = declared;
  const wanted = sizeOf(declared);
  if (data instanceof Float32Array && dtype !== "F32" && dtype !== "F16")
    throw new InputError(OP, `${quote(name)}: numbers are written as F32 or F16, not as ${dtype}`);
  const array = data instanceof Float32Array && dtype === "F16" ? encodeF16(data) : data;
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  if (bytes.length !== wanted)
    throw new InputError(
      OP,
      `${quote(name)}: ${dtype} [${shape.join(", ")}] needs ${wanted} bytes, ${bytes.length} given`,
    );
  return bytes;
}

const rank = ({ dtype }: Declared): number => [...DTYPE_BITS.keys()].indexOf(dtype);

/** Order of the UTF-8 bytes, which is the order of code points and not that of UTF-16 units. */
function compareText(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length; i++)
    if (a[i] !== b[i]) {
      const surrogates = +isSurrogate(a, i) - +isSurrogate(b, i); // every astral character comes after every other
      return surrogates || a.charCodeAt(i) - b.charCodeAt(i);
    }
  return a.length - b.length;
}

const isSurrogate = (text: string, at: number): boolean => (text.charCodeAt(at) & 0xf800) === 0xd800;

/** A JSON string; it escapes exactly what the reference writer escapes. */
function json(text: string): string {
  if (/\p{Cs}/u.test(text)) throw new InputError(OP, `${quote(text)} holds a lone surrogate`);
  return JSON.stringify(text);
}
