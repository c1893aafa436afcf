/** Writes pickles and PyTorch files by hand, sound ones and broken ones. */

const utf8 = (text: string) => [...new TextEncoder().encode(text)];
const u16 = (value: number) => [value & 255, (value >>> 8) & 255];
const u32 = (value: number) => [...u16(value & 0xffff), ...u16(value >>> 16)];
const u64 = (value: number | bigint) => [
  ...new Uint8Array(BigUint64Array.of(BigInt.asUintN(64, BigInt(value))).buffer),
];

export type Code = readonly number[];

/** Pickle code that leaves one value on the stack. */
export const py = {
  none: [0x4e],
  true: [0x88],
  int: (value: number): Code => (value >= 0 && value < 256 ? [0x4b, value] : [0x8a, 8, ...u64(value)]),
  float: (value: number): Code => [0x47, ...[...new Uint8Array(Float64Array.of(value).buffer)].reverse()],
  str: (text: string): Code => [0x58, ...u32(utf8(text).length), ...utf8(text)],
  global: (module: string, name: string): Code => [0x63, ...utf8(`${module}\n${name}\n`)],
  tuple: (...items: Code[]): Code => [0x28, ...items.flat(), 0x74],
  list: (...items: Code[]): Code => [0x5d, 0x28, ...items.flat(), 0x65],
  dict: (...pairs: [Code, Code][]): Code => [0x7d, 0x28, ...pairs.flat(2), 0x75],
  call: (callee: Code, ...args: Code[]): Code => [...callee, ...py.tuple(...args), 0x52],
  ordered: (...pairs: Code[]): Code => py.call(py.global("collections", "OrderedDict"), ...pairs),
  storage: (key: string, count: number, type = "FloatStorage"): Code => [
    ...py.tuple(py.str("storage"), py.global("torch", type), py.str(key), py.str("cpu"), py.int(count)),
    0x51,
  ],
  tensor: (storage: Code, shape: number[], strides: number[], offset = 0): Code =>
    py.call(
      py.global("torch._utils", "_rebuild_tensor_v2"),
      storage,
      py.int(offset),
      py.tuple(...shape.map(py.int)),
      py.tuple(...strides.map(py.int)),
      [0x89],
      py.ordered(),
    ),
};

/** A whole pickle of protocol 2. */
export const pickle = (code: Code): Uint8Array => Uint8Array.from([0x80, 2, ...code, 0x2e]);

export interface ZipPart {
  readonly name: string;
  readonly data: Uint8Array;
  /** What the directory says instead of the truth. */
  readonly says?: {
    readonly size?: number;
    readonly offset?: number;
    readonly method?: number;
    readonly flags?: number;
    readonly extra?: number[];
  };
  /** What the entry's own header says instead of the truth. */
  readonly localName?: string;
  readonly localExtra?: number;
}

export interface ZipOptions {
  readonly comment?: string;
  /** What the end record says instead of the truth. */
  readonly count?: number;
  readonly directoryOffset?: number;
  /** Bytes of a zip64 end record and its locator, put before the end record. */
  readonly zip64?: (directory: { offset: number; size: number; count: number }) => number[];
}

/** A zip archive of stored files. */
export function zip(parts: readonly ZipPart[], options: ZipOptions = {}): Uint8Array {
  const chunks: Uint8Array[] = [];
  const directory: number[] = [];
  let at = 0;
  const add = (bytes: ArrayLike<number>) => {
    chunks.push(Uint8Array.from(bytes));
    at += bytes.length;
  };
  for (const { name, data, says = {}, localName = name, localExtra } of parts) {
    const { size = data.length, offset = at, method = 0, flags = 0, extra = [] } = says;
    const sizes = [...u32(0), ...u32(size), ...u32(size)];
    const common = [...u16(flags), ...u16(method), ...u32(0), ...sizes];
    directory.push(
      ...u32(0x02014b50),
      ...u16(0),
      ...u16(0),
      ...common,
      ...u16(utf8(name).length),
      ...u16(extra.length),
    );
    directory.push(...new Array<number>(10).fill(0), ...u32(offset), ...utf8(name), ...extra);
    add([
      ...u32(0x04034b50),
      ...u16(0),
      ...common,
      ...u16(utf8(localName).length),
      ...u16(localExtra ?? 0),
      ...utf8(localName),
    ]);
    add(data);
  }
  const place = { offset: at, size: directory.length, count: parts.length };
  add(directory);
  if (options.zip64) add(options.zip64(place));
  const { count = parts.length, directoryOffset = place.offset, comment = "" } = options;
  add([...u32(0x06054b50), ...u32(0), ...u16(count), ...u16(count), ...u32(place.size), ...u32(directoryOffset)]);
  add([...u16(comment.length), ...utf8(comment)]);
  return Buffer.concat(chunks);
}

/** The zip64 end record and locator for a directory. */
export function zip64End({ offset, size, count }: { offset: number; size: number; count: number }): number[] {
  const record = [
    ...u32(0x06064b50),
    ...u64(44),
    ...u16(45),
    ...u16(45),
    ...u32(0),
    ...u32(0),
    ...u64(count),
    ...u64(count),
    ...u64(size),
    ...u64(offset),
  ];
  return [...record, ...u32(0x07064b50), ...u32(0), ...u64(offset + size), ...u32(1)];
}

/** What `torch.save` writes: the pickle and each storage. */
export const torchZip = (
  code: Code,
  storages: Record<string, Uint8Array> = {},
  more: readonly ZipPart[] = [],
): Uint8Array =>
  zip([
    { name: "archive/data.pkl", data: pickle(code) },
    ...Object.entries(storages).map(([key, data]) => ({ name: `archive/data/${key}`, data })),
    ...more,
  ]);

/** What `torch.save` wrote before PyTorch 1.6. `counts` overrides the number before each storage. */
export function torchLegacy(
  code: Code,
  storages: Record<string, Uint8Array> = {},
  counts: Record<string, number | bigint> = {},
): Uint8Array {
  const magic = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
  const machine = py.dict([py.str("little_endian"), py.true]);
  const pickles = [magic, py.int(1001), machine, code, py.list(...Object.keys(storages).map(py.str))];
  const data = Object.entries(storages).flatMap(([key, bytes]) => [
    Uint8Array.from(u64(counts[key] ?? bytes.length / 4)),
    bytes,
  ]);
  return Buffer.concat([...pickles.map(pickle), ...data]);
}

/** The bytes of float32 numbers. */
export const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
