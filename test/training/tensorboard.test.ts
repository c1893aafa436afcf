import { describe, expect, test } from "vitest";
import { crc32c, restartRecord, scalarRecord, versionRecord } from "../../src/training/tensorboard.ts";

const ascii = (text: string) => new TextEncoder().encode(text);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

describe("TensorBoard events", () => {
  test.for<[string, Uint8Array, number]>([
    ["the standard check", ascii("123456789"), 0xe3069283],
    ["32 zeros (RFC 3720, B.4)", new Uint8Array(32), 0x8a9136aa],
    ["32 ones (RFC 3720, B.4)", new Uint8Array(32).fill(255), 0x62a8ab43],
    ["0 to 31 (RFC 3720, B.4)", Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ])("CRC-32C of %s", ([, bytes, expected]) => expect(crc32c(bytes)).toBe(expected));

  // made by tensorboard 2.21's EventFileWriter protobufs and its record writer
  test("records are those of TensorBoard's own writer", () => {
    expect(hex(versionRecord(1.5))).toBe(VERSION);
    expect(hex(restartRecord(1.75, 300))).toBe(RESTART);
    expect(hex(scalarRecord(2.25, 300, { loss: 0.5, "lr/unet": 1e-4 }))).toBe(SCALARS);
  });
});

const VERSION = "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c";
const SCALARS =
  "2b00000000000000861bc34b09000000000000024010ac022a1d0a0b0a046c6f7373150000003f0a0e0a076c722f756e65741517b7d1383d93d1b1";
const RESTART = "100000000000000095fbfe1809000000000000fc3f10ac023a020801ded71506";
