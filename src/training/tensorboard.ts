// Event files as TensorBoard reads them: TFRecord framing (length, masked CRC-32C, data, masked CRC-32C) around the few
// fields of tensorflow/core/util/event.proto that scalars need.

/** CRC-32C (Castagnoli), as RFC 3720 appendix B.4 defines it. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** A file's first record: which format follows. `seconds` since 1970. */
export const versionRecord = (seconds: number): Uint8Array =>
  record([...double(1, seconds), ...text(3, "brain.Event:2")]);

/** The record of a run that goes on: TensorBoard forgets what was written before of `step` and later ones. */
export const restartRecord = (seconds: number, step: number): Uint8Array =>
  record([...double(1, seconds), ...integer(2, step), ...bytes(7, integer(1, SESSION_START))]);

const SESSION_START = 1; // of SessionLog.SessionStatus

/** One record of named numbers at a step. */
export function scalarRecord(seconds: number, step: number, values: Readonly<Record<string, number>>): Uint8Array {
  const summary = Object.entries(values).flatMap(([tag, value]) => bytes(1, [...text(1, tag), ...float(2, value)]));
  return record([...double(1, seconds), ...integer(2, step), ...bytes(5, summary)]);
}

/** Rotated and shifted, as TFRecord wants a checksum of data that may hold checksums. */
function masked(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function record(data: readonly number[]): Uint8Array {
  const whole = new Uint8Array(16 + data.length);
  const view = new DataView(whole.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, masked(whole.subarray(0, 8)), true);
  whole.set(data, 12);
  view.setUint32(12 + data.length, masked(whole.subarray(12, 12 + data.length)), true);
  return whole;
}

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

function varint(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) | 128);
  return [...out, rest];
}

const key = (field: number, type: number): number[] => varint(field * 8 + type);
const integer = (field: number, value: number): number[] => [...key(field, VARINT), ...varint(value)];
const bytes = (field: number, data: readonly number[]): number[] => [
  ...key(field, LENGTH),
  ...varint(data.length),
  ...data,
];
const text = (field: number, value: string): number[] => bytes(field, [...new TextEncoder().encode(value)]);
const float = (field: number, value: number): number[] => [
  ...key(field, FIXED32),
  ...new Uint8Array(Float32Array.of(value).buffer),
];
const double = (field: number, value: number): number[] => [
  ...key(field, FIXED64),
  ...new Uint8Array(Float64Array.of(value).buffer),
];
