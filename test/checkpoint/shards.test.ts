import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { openShards } from "../../src/checkpoint/shards.ts";
import { bytesSource, filesFolder, type ByteSource } from "../../src/checkpoint/source.ts";
import { encodeSafetensors } from "../../src/checkpoint/write.ts";
import { FormatError, InputError } from "../../src/util/errors.ts";

const shard = (values: Record<string, number>) =>
  encodeSafetensors(
    Object.entries(values).map(([name, value]) => ({ name, dtype: "F32", shape: [1], data: Float32Array.of(value) })),
    { format: "pt" },
  );

const FILES = new Map([
  ["m-1.safetensors", shard({ a: 1, b: 2 })],
  ["m-2.safetensors", shard({ c: 3 })],
]);
const index = (weightMap: unknown, rest = '"metadata":{"total_size":12,"nested":[1.5,null,{"x":true}]},') =>
  `{${rest}"weight_map":${typeof weightMap === "string" ? weightMap : JSON.stringify(weightMap)}}`;
const WHOLE = { a: "m-1.safetensors", b: "m-1.safetensors", c: "m-2.safetensors" };

const closed: string[] = [];
const open = async (file: string): Promise<ByteSource> => {
  const bytes = FILES.get(file);
  if (!bytes) throw new FormatError(file, "no such file");
  return { ...bytesSource(file, bytes), close: async () => void closed.push(file) };
};
const openIndex = (text: string) => openShards({ name: "m.safetensors.index.json", text }, open);

describe("openShards", () => {
  test("reads each tensor from its file", async () => {
    const source = await openIndex(index(WHOLE));
    expect([...source.tensors.keys()]).toEqual(["a", "b", "c"]);
    expect(new Float32Array((await source.read("c")).buffer)).toEqual(Float32Array.of(3));
    expect(source.metadata).toEqual(new Map([["format", "pt"]]));
    closed.length = 0;
    await source.close();
    expect(closed.sort()).toEqual([...FILES.keys()]);
  });

  test.for([
    ["a path upwards", index({ a: "../m-1.safetensors" }), "not a plain file name"],
    ["an absolute path", index({ a: "/etc/passwd" }), "not a plain file name"],
    ["a drive", index({ a: "C:m" }), "not a plain file name"],
    ["a backslash", index({ a: "x\\m" }), "not a plain file name"],
    ["two dots", index({ a: ".." }), "not a plain file name"],
    ["a number for a file", index('{"a":1}'), "is not a string"],
    ["a tensor listed twice", index('{"a":"m-1.safetensors","\\u0061":"m-2.safetensors"}'), '"a" twice'],
    ["a tensor that the shard lacks", index({ ...WHOLE, d: "m-2.safetensors" }), 'lacks "d"'],
    ["a tensor that the index lacks", index({ a: "m-1.safetensors", c: "m-2.safetensors" }), 'holds "b"'],
    ["a tensor placed in another shard", index({ ...WHOLE, b: "m-2.safetensors" }), 'holds "b"'],
    ["no weight_map", '{"metadata":{}}', "no weight_map"],
    ["text after the brace", index(WHOLE) + "x", "closing brace"],
    ["something that is no JSON", "<html>", "is not an object"],
    ["deep nesting", `{"metadata":${"[".repeat(100_000)}`, "nested more than 32 deep"],
  ] as const)("refuses %s", async ([, text, message]) => {
    const error: unknown = await openIndex(text).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as Error).message).toMatch(/^m\.safetensors\.index\.json: [^\n]+$/);
    expect((error as Error).message).toContain(message);
  });

  test("closes what it opened when a shard is missing", async () => {
    closed.length = 0;
    await expect(openIndex(index({ ...WHOLE, d: "m-3.safetensors" }))).rejects.toThrow("m-3.safetensors: no such file");
    expect(closed.sort()).toEqual([...FILES.keys()]);
  });
});

describe("openCheckpoint", () => {
  const blob = (bytes: Uint8Array<ArrayBuffer>) => new Blob([bytes]);
  const folder = (files: Record<string, Blob>) => filesFolder("model", new Map(Object.entries(files)));

  test("prefers the whole file, then the variant, then shards, then PyTorch's format", async () => {
    const files: Record<string, Blob> = {
      "vae/w.safetensors": blob(shard({ whole: 1 })),
      "vae/w.fp16.safetensors": blob(shard({ variant: 1 })),
      "vae/w.safetensors.index.json": new Blob([index(WHOLE)]),
      "vae/m-1.safetensors": blob(FILES.get("m-1.safetensors")!),
      "vae/m-2.safetensors": blob(FILES.get("m-2.safetensors")!),
      "vae/w.bin": new Blob([new Uint8Array(100)]),
    };
    const found: string[][] = [];
    for (const name of ["vae/w.safetensors", "vae/w.fp16.safetensors", "vae/w.safetensors.index.json"]) {
      found.push([...(await openCheckpoint(folder(files), "vae/w")).tensors.keys()]);
      delete files[name];
    }
    expect(found).toEqual([["whole"], ["variant"], ["a", "b", "c"]]);
    await expect(openCheckpoint(folder(files), "vae/w")).rejects.toThrow("vae/w.bin: not a PyTorch file");
  });

  test("finds pytorch_model.bin beside the name model.safetensors", async () => {
    const files = { "text_encoder/pytorch_model.bin": new Blob([new Uint8Array(100)]) };
    await expect(openCheckpoint(folder(files), "text_encoder/model")).rejects.toThrow(
      "text_encoder/pytorch_model.bin: not a",
    );
  });

  test("says what it looked for", async () => {
    const error: unknown = await openCheckpoint(folder({}), "unet/weights").catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toMatch(
      /^model: no weights at unet\/weights: looked for unet\/weights\.safetensors, .*unet\/weights\.bin/,
    );
  });
});
