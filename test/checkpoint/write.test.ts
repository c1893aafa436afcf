import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openSafetensors } from "../../src/checkpoint/safetensors.ts";
import { bytesSource } from "../../src/checkpoint/source.ts";
import { encodeSafetensors, safetensorsParts } from "../../src/checkpoint/write.ts";
import { fixture } from "../helpers.ts";

const numbers = (...values: number[]) => Float32Array.from(values);

describe("encodeSafetensors", () => {
  // Each holds at most one metadata key, or the order in which this writer keeps them.
  test.for([
    "pickle/written.safetensors",
    "ops.safetensors",
    "checkpoints/ootd/vae/diffusion_pytorch_model.safetensors",
  ])("writes %s byte for byte as Python did", async (path) => {
    const file = readFileSync(fixture(path));
    const source = await openSafetensors(bytesSource(path, file));
    const tensors = [];
    for (const info of source.tensors.values()) tensors.push({ ...info, data: await source.read(info.name) });
    expect(Buffer.compare(encodeSafetensors(tensors.reverse(), source.metadata), file)).toBe(0);
  });

  test("gives the same bytes in pieces", () => {
    const tensors = [{ name: "a", dtype: "F32", shape: [2], data: numbers(1, 2) }];
    expect(Buffer.concat(safetensorsParts(tensors)).equals(encodeSafetensors(tensors))).toBe(true);
  });

  test("stores numbers as halves when asked", async () => {
    const file = encodeSafetensors([{ name: "a", dtype: "F16", shape: [3], data: numbers(1, -2, 0.5) }], { step: "7" });
    const source = await openSafetensors(bytesSource("x", file));
    expect([...new Uint16Array((await source.read("a")).buffer)]).toEqual([0x3c00, 0xc000, 0x3800]);
    expect(source.metadata).toEqual(new Map([["step", "7"]]));
  });

  test("an empty file is readable", async () => {
    await expect(openSafetensors(bytesSource("x", encodeSafetensors([])))).resolves.toBeDefined();
  });

  const tensor = { name: "a", dtype: "F32", shape: [1], data: numbers(1) };
  test.for([
    ["a tensor called __metadata__", [{ ...tensor, name: "__metadata__" }], "may not be called __metadata__"],
    ["two tensors of one name", [tensor, tensor], 'two tensors called "a"'],
    ["bytes that do not fill the shape", [{ ...tensor, shape: [2] }], "F32 [2] needs 8 bytes, 4 given"],
    ["an unknown type", [{ ...tensor, dtype: "f32" }], 'no tensor can be "f32" [1]'],
    ["a negative size", [{ ...tensor, shape: [-1] }], "no tensor can be"],
    ["numbers under an integer type", [{ ...tensor, dtype: "I32" }], "not as I32"],
    ["a lone surrogate", [{ ...tensor, name: "\ud800" }], "lone surrogate"],
  ] as const)("refuses %s", ([, tensors, message]) => {
    expect(() => encodeSafetensors(tensors)).toThrow(message);
  });
});
