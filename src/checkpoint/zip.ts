import { malformed, quote, type ByteSource } from "./source.ts";

const MAX_ENTRIES = 65_536;
const MAX_DIRECTORY = 16 * 2 ** 20;
const END_BYTES = 22;
const MAX_16 = 0xffff;
const MAX_32 = 0xffffffff;

/** A file stored uncompressed in a zip archive. */
export interface ZipEntry {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly localHeader: number;
  /** Where the next entry or the directory begins. */
  readonly limit: number;
}

interface Directory {
  readonly offset: number;
  readonly size: number;
  readonly entries: number;
}

/**
 * The entries of a zip archive by name, from its central directory alone. Refuses what no `torch.save` writes and
 * what lets two readers see two different archives: compression, encryption, several disks, bytes before or after,
 * duplicate names, entries that overlap or lie outside the file. Zip64 is read.
 */
export async function readZip(source: ByteSource): Promise<Map<string, ZipEntry>> {
  const directory = await findDirectory(source);
  if (directory.entries > MAX_ENTRIES || directory.size > MAX_DIRECTORY)
    throw malformed(
      source.name,
      `a zip directory of ${directory.entries} entries in ${directory.size} bytes is too large`,
    );
  const bytes = await source.read(directory.offset, directory.size);
  const view = new DataView(bytes.buffer);
  const found: { name: string; size: number; localHeader: number }[] = [];
  let at = 0;
  for (let i = 0; i < directory.entries; i++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== 0x02014b50)
      throw malformed(source.name, `the zip directory breaks off at entry ${i} of ${directory.entries}`);
    const end = at + 46 + view.getUint16(at + 28, true) + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    if (end > bytes.length) throw malformed(source.name, `the zip directory breaks off inside entry ${i}`);
    found.push(parseEntry(source.name, view, at));
    at = end;
  }
  if (at !== bytes.length) throw malformed(source.name, `the zip directory holds ${bytes.length - at} bytes too many`);
  return separate(source.name, found, directory.offset);
}

/** Where the bytes of an entry begin. Its own header must agree with the directory. */
export async function locateEntry(source: ByteSource, entry: ZipEntry): Promise<number> {
  const name = new TextEncoder().encode(entry.name);
  const header = await source.read(entry.localHeader, 30 + name.length);
  const view = new DataView(header.buffer);
  const sameName = view.getUint16(26, true) === name.length && name.every((byte, i) => header[30 + i] === byte);
  if (view.getUint32(0, true) !== 0x04034b50 || view.getUint16(8, true) !== 0 || !sameName)
    throw malformed(source.name, `zip entry ${quote(entry.name)} disagrees with the directory`);
  const start = entry.localHeader + 30 + name.length + view.getUint16(28, true);
  if (start + entry.size > entry.limit)
    throw malformed(source.name, `zip entry ${quote(entry.name)} of ${entry.size} bytes reaches into what follows it`);
  return start;
}

async function findDirectory(source: ByteSource): Promise<Directory> {
  const length = Math.min(source.size, END_BYTES + MAX_16);
  const tail = await source.read(source.size - length, length);
  const view = new DataView(tail.buffer);
  let end = length - END_BYTES;
  while (
    end >= 0 &&
    !(view.getUint32(end, true) === 0x06054b50 && view.getUint16(end + 20, true) === length - END_BYTES - end)
  )
    end--;
  if (end < 0) throw malformed(source.name, "truncated: a zip archive without its end record");
  const short = {
    entries: view.getUint16(end + 10, true),
    size: view.getUint32(end + 12, true),
    offset: view.getUint32(end + 16, true),
  };
  if (view.getUint16(end + 4, true) % MAX_16 !== 0 || view.getUint16(end + 6, true) % MAX_16 !== 0)
    throw malformed(source.name, "a zip archive of several disks");
  const hasLocator = end >= 20 && view.getUint32(end - 20, true) === 0x07064b50;
  const position = source.size - length + end;
  const long = hasLocator ? await readZip64End(source, position - 20, uint64(source.name, view, end - 12)) : undefined;
  for (const [field, most] of [
    ["entries", MAX_16],
    ["size", MAX_32],
    ["offset", MAX_32],
  ] as const)
    if (long ? short[field] !== most && short[field] !== long[field] : short[field] === most)
      throw malformed(source.name, `the zip end records disagree about the directory's ${field}`);
  const directory = long ?? short;
  const follows = long ? long.start : position;
  if (directory.offset + directory.size !== follows)
    throw malformed(
      source.name,
      `the zip directory at ${directory.offset} takes ${directory.size} bytes, its end record lies at ${follows}`,
    );
  return directory;
}

async function readZip64End(
  source: ByteSource,
  locator: number,
  start: number,
): Promise<Directory & { start: number }> {
  if (start + 56 > locator) throw malformed(source.name, `the zip64 end record at ${start} lies outside its place`);
  const view = new DataView((await source.read(start, 56)).buffer);
  if (view.getUint32(0, true) !== 0x06064b50) throw malformed(source.name, `no zip64 end record at ${start}`);
  const field = (at: number) => uint64(source.name, view, at);
  return { start, entries: field(32), size: field(40), offset: field(48) };
}

function uint64(file: string, view: DataView, at: number): number {
  const value = Number(view.getBigUint64(at, true));
  if (!Number.isSafeInteger(value)) throw malformed(file, "a zip64 field is above 2^53 - 1");
  return value;
}

function parseEntry(file: string, view: DataView, at: number): { name: string; size: number; localHeader: number } {
  const nameBytes = view.getUint16(at + 28, true);
  let name: string;
  try {
    name = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      new Uint8Array(view.buffer, at + 46, nameBytes),
    );
  } catch {
    throw malformed(file, "the name of a zip entry is not UTF-8");
  }
  const method = view.getUint16(at + 10, true);
  if (method !== 0)
    throw malformed(file, `zip entry ${quote(name)} is compressed (method ${method}); torch.save stores`);
  if (view.getUint16(at + 8, true) & 1) throw malformed(file, `zip entry ${quote(name)} is encrypted`);
  const fields = [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)];
  const extra = at + 46 + nameBytes;
  const [size, stored, localHeader] = widenFields(file, view, fields, extra, extra + view.getUint16(at + 30, true)) as [
    number,
    number,
    number,
  ];
  if (size !== stored) throw malformed(file, `zip entry ${quote(name)} of ${size} bytes is stored in ${stored}`);
  return { name, size, localHeader };
}

/** Takes the fields that are full from the zip64 extra field, where they stand in this order. */
function widenFields(file: string, view: DataView, fields: number[], from: number, end: number): number[] {
  if (!fields.includes(MAX_32)) return fields;
  for (let at = from; at + 4 <= end; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== 1) continue;
    let next = at + 4;
    const stop = Math.min(end, next + view.getUint16(at + 2, true));
    return fields.map((field) => {
      if (field !== MAX_32) return field;
      if (next + 8 > stop) throw malformed(file, "a zip64 field is missing");
      return uint64(file, view, (next += 8) - 8);
    });
  }
  throw malformed(file, "a zip64 field is missing");
}

/** Checks that no two entries share a name or a byte and that all lie before the directory. */
function separate(
  file: string,
  found: { name: string; size: number; localHeader: number }[],
  directory: number,
): Map<string, ZipEntry> {
  found.sort((a, b) => a.localHeader - b.localHeader);
  const entries = new Map<string, ZipEntry>();
  for (const [i, entry] of found.entries()) {
    const limit = found[i + 1]?.localHeader ?? directory;
    if (entry.localHeader + 30 + entry.name.length + entry.size > limit)
      throw malformed(file, `zip entry ${quote(entry.name)} of ${entry.size} bytes overlaps what follows it`);
    if (entries.has(entry.name)) throw malformed(file, `two zip entries called ${quote(entry.name)}`);
    entries.set(entry.name, { ...entry, limit });
  }
  return entries;
}
