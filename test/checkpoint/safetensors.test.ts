import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openSafetensors } from "../../src/checkpoint/safetensors.ts";
import { bytesSource, type ByteSource } from "../../src/checkpoint/source.ts";
import { FormatError, InputError } from "../../src/util/errors.ts";
import { fixture, loadFixture } from "../helpers.ts";

interface Case {
  readonly name: string;
  readonly required: "accept" | "reject";
  readonly bytes_base64: string;
}

const CASES = JSON.parse(readFileSync(fixture("safetensors_cases.json"), "utf8")) as Case[];

/** A file with that header and so many zero bytes of data. */
function file(header: string | Uint8Array, dataBytes = 0): Uint8Array {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

async function refusal(bytes: Uint8Array): Promise<FormatError> {
  const error: unknown = await openSafetensors(bytesSource("x.safetensors", bytes)).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(FormatError);
  expect((error as FormatError).message).toMatch(/^x\.safetensors: [^\n\r]+$/);
  return error as FormatError;
}

const entry = (begin: number, end: number) =>
  `{"dtype":"U8","shape":[${end - begin}],"data_offsets":[${begin},${end}]}`;

describe("safetensors", () => {
  test("has all crafted files", () => expect(CASES).toHaveLength(78));

  test.for(CASES)("$name: $required", async ({ required, bytes_base64 }) => {
    const bytes = new Uint8Array(Buffer.from(bytes_base64, "base64"));
    if (required === "reject") await refusal(bytes);
    else await expect(openSafetensors(bytesSource("x.safetensors", bytes))).resolves.toBeDefined();
  });

  test.for([
    ["a tab after the closing brace", "{}\t", "something other than spaces"],
    ["a broken escape", '{"\\x":1}', "broken escape"],
    ["an escaped lone surrogate in metadata", '{"__metadata__":{"a":"\\udc00"}}', "lone surrogate"],
    ["a size of 2^53", '{"a":{"dtype":"U8","shape":[9007199254740992],"data_offsets":[0,0]}}', "above 2^53 - 1"],
    [
      "a product over 2^53 behind a zero",
      '{"a":{"dtype":"U8","shape":[4294967296,0,4294967296],"data_offsets":[0,0]}}',
      "impossible size",
    ],
    ["a name with a line feed", `{"a\\nb":${entry(1, 2)}}`, 'tensor "a\\u000ab" begins at 1'],
    [
      "a repeated field after unescaping",
      '{"a":{"dtype":"U8","\\u0064type":"U8","shape":[],"data_offsets":[0,1]}}',
      '"dtype" twice',
    ],
    ["a name that is too long", `{"${"n".repeat(5000)}":${entry(0, 0)}}`, "5000 characters"],
    [
      "too many dimensions",
      `{"a":{"dtype":"U8","shape":[${"1,".repeat(300)}1],"data_offsets":[0,1]}}`,
      "more than 256",
    ],
  ] as const)("refuses %s", async ([, header, message]) => {
    expect((await refusal(file(header, 1))).message).toContain(message);
  });

  test("accepts a pair of escaped surrogates and a quote after backslashes", async () => {
    const name = '\u{1f600}\\"\\\\';
    const { tensors } = await openSafetensors(
      bytesSource("x", file(`{${JSON.stringify(name)}:${entry(0, 1)},"\\ud83d\\ude00":${entry(1, 2)}}`, 2)),
    );
    expect([...tensors.keys()]).toEqual([name, "\u{1f600}"]);
  });

  test("refuses hostile headers in linear time", async () => {
    const many = Array.from({ length: 300_000 }, (_, i) => `"${i}":${entry(0, 1)}`).join();
    const started = process.cpuUsage(); // the processor's time: the clock's also counts what others do meanwhile
    expect((await refusal(file(`{${many}}`, 1))).message).toContain("inside another");
    expect((await refusal(file(`{"${"\\\\".repeat(5e6)}`))).message).toContain("ends inside");
    expect((await refusal(file(`{"a":${"[".repeat(1e7)}`))).message).toContain("is not an object");
    expect((await refusal(file(`{"${"x".repeat(1e7)}":1}`))).message).toContain("characters");
    const { user, system } = process.cpuUsage(started);
    expect((user + system) / 1e6).toBeLessThan(8);
  });

  test("opens 200,000 tensors", async () => {
    const many = Array.from({ length: 200_000 }, (_, i) => `"layer.${i}":${entry(i, i + 1)}`).join();
    expect((await openSafetensors(bytesSource("x", file(`{${many}}`, 200_000)))).tensors.size).toBe(200_000);
  });

  test("reads the reference tensors as another reader does, whole and in parts", async () => {
    const expected = loadFixture("torch_random.safetensors");
    const opened = await openSafetensors(bytesSource("t", readFileSync(fixture("torch_random.safetensors"))));
    expect([...opened.tensors.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [name, { dtype, shape, data }] of expected) {
      expect(opened.tensors.get(name)).toMatchObject({ name, dtype, shape });
      if (dtype !== "F32" || data.length < 3) continue;
      expect(new Float32Array((await opened.read(name)).buffer)).toEqual(data);
      expect(new Float32Array((await opened.read(name, 4, 8)).buffer)).toEqual(data.slice(1, 3));
    }
  });

  test("reads only what is asked for, and says what is not there", async () => {
    const bytes = file(`{"a":${entry(0, 10)},"b":${entry(10, 1010)}}`, 1010);
    const inner = bytesSource("x", bytes);
    let asked = 0;
    const source: ByteSource = { ...inner, read: (offset, length) => ((asked += length), inner.read(offset, length)) };
    const opened = await openSafetensors(source);
    const before = asked;
    await opened.read("b", 500, 7);
    expect(asked - before).toBe(7);
    await expect(opened.read("c")).rejects.toThrow(new InputError("x", 'no tensor "c"'));
    await expect(opened.read("a", 5, 6)).rejects.toThrow('6 bytes at 5 of "a", which has 10');
    await expect(opened.read("a", -1, 2)).rejects.toThrow(InputError);
  });
});
