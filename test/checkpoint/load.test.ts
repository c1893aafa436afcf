import { describe, expect, test } from "vitest";
import { loadModule, loadSafetensors, type LoadOptions } from "../../src/checkpoint/load.ts";
import { openSafetensors } from "../../src/checkpoint/safetensors.ts";
import { bytesSource } from "../../src/checkpoint/source.ts";
import { encodeSafetensors, type TensorToWrite } from "../../src/checkpoint/write.ts";
import { Conv2d } from "../../src/nn/conv2d.ts";
import { Embedding } from "../../src/nn/embedding.ts";
import { Linear } from "../../src/nn/linear.ts";
import { Module } from "../../src/nn/module.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { DTypeError, WeightsError } from "../../src/util/errors.ts";
import { devices, normal } from "../helpers.ts";

class Tiny extends Module {
  readonly conv_in: Conv2d;
  readonly attentions: readonly Module[];
  readonly table = new Embedding(3, 5);

  constructor(inputs = 4) {
    super();
    this.conv_in = new Conv2d(inputs, 7, 3, { padding: 1 });
    this.attentions = [new Attention()];
  }
}

class Attention extends Module {
  readonly to_q = new Linear(5, 5);
  readonly to_out: readonly Module[] = [new Linear(5, 5)];
}

const SHAPES: Readonly<Record<string, readonly number[]>> = {
  "conv_in.weight": [7, 4, 3, 3],
  "conv_in.bias": [7],
  "attentions.0.to_q.weight": [5, 5],
  "attentions.0.to_q.bias": [5],
  "attentions.0.to_out.0.weight": [5, 5],
  "attentions.0.to_out.0.bias": [5],
  "table.weight": [3, 5],
};

const values = new Map(
  Object.entries(SHAPES).map(([name, shape], i) => [
    name,
    normal(
      i + 1,
      shape.reduce((a, b) => a * b, 1),
    ),
  ]),
);
const tensor = (name: string, dtype = "F32", shape = SHAPES[name]!): TensorToWrite => ({
  name,
  dtype,
  shape,
  data: dtype === "BF16" ? bfloat16(values.get(name)!) : values.get(name)!,
});
/** Cuts numbers to bfloat16. */
const bfloat16 = (data: Float32Array) =>
  new Uint8Array(Uint16Array.from(new Uint32Array(Float32Array.from(data).buffer), (bits) => bits >>> 16).buffer);
const all = (dtype = "F32") => Object.keys(SHAPES).map((name) => tensor(name, dtype));
const source = (tensors: TensorToWrite[]) =>
  openSafetensors(bytesSource("tiny.safetensors", encodeSafetensors(tensors)));
const OPTIONS: LoadOptions = { label: "tiny", dtype: "f32" };

describe.each(await devices())("loadModule on $name", ({ gpu }) => {
  const read = async (module: Module) => {
    const data = new Map<string, Float32Array>();
    for (const [key, parameter] of module.parameters()) data.set(key, await parameter.tensor.data());
    return data;
  };

  test.for([
    ["F32", 0],
    ["F16", 2 ** -11],
    ["BF16", 2 ** -7], // cut, not rounded
  ] as const)("%s", async ([dtype, error]) => {
    const module = new Tiny();
    await loadModule(gpu, module, await source(all(dtype)), OPTIONS);
    for (const [key, data] of await read(module)) {
      const expected = values.get(key)!;
      const worst = Math.max(...expected.map((value, i) => Math.abs(data[i]! - value) / (Math.abs(value) + 2 ** -14)));
      expect(worst, key).toBeLessThanOrEqual(error);
      expect(data).toHaveLength(expected.length);
    }
    module.dispose();
  });

  test("matrices and tables take the model's type, vectors stay f32", async () => {
    const module = new Tiny();
    await loadModule(gpu, module, await source(all()), { ...OPTIONS, dtype: gpu.facts.f16 ? "f16" : "f32" });
    const types = Object.fromEntries([...module.parameters()].map(([key, { tensor }]) => [key, tensor.dtype]));
    const elem = gpu.facts.f16 ? "f16" : "f32";
    expect(types).toMatchObject({ "conv_in.weight": elem, "conv_in.bias": "f32", "table.weight": elem });
    module.dispose();
  });

  test("lists everything that does not fit, and reads nothing", async () => {
    const tensors = all().filter(({ name }) => name !== "table.weight" && name !== "conv_in.bias");
    const opened = await source([
      ...tensors.filter(({ name }) => name !== "conv_in.weight" && name !== "attentions.0.to_q.bias"),
      { ...tensor("conv_in.weight"), shape: [7, 3, 3, 4] },
      { name: "attentions.0.to_q.bias", dtype: "I32", shape: [5], data: new Uint8Array(20) },
      { name: "extra\nline", dtype: "F32", shape: [1], data: Float32Array.of(1) },
    ]);
    const module = new Tiny();
    const error: unknown = await loadModule(
      gpu,
      module,
      { ...opened, read: () => Promise.reject(new Error("read")) },
      OPTIONS,
    ).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WeightsError);
    expect((error as Error).message.split("\n")).toEqual([
      "tiny: 2 missing, 1 unexpected, 1 of another shape, 1 of another type in tiny.safetensors",
      "  missing     conv_in.bias",
      "  missing     table.weight",
      "  unexpected  extra\\u000aline",
      "  shape       conv_in.weight: file [7, 3, 3, 4], model [7, 4, 3, 3]",
      "  type        attentions.0.to_q.bias: I32; weights are F32, F16 or BF16",
    ]);
  });

  test("passes over what may be ignored", async () => {
    const extra = { name: "position_ids", dtype: "I64", shape: [1], data: new Uint8Array(8) };
    const module = new Tiny();
    await expect(loadModule(gpu, module, await source([...all(), extra]), OPTIONS)).rejects.toThrow("1 unexpected");
    await loadModule(gpu, module, await source([...all(), extra]), {
      ...OPTIONS,
      ignore: (key) => key === "position_ids",
    });
    module.dispose();
  });

  test("reads an old VAE's attention, whose matrices are convolutions", async () => {
    const old = (name: string) => name.replace("to_q", "query").replace("to_out.0", "proj_attn");
    const tensors = all().map((each) => ({
      ...each,
      name: old(each.name),
      shape: each.name.startsWith("att") && each.name.endsWith("weight") ? [...each.shape, 1, 1] : each.shape,
    }));
    const module = new Tiny();
    await loadModule(gpu, module, await source(tensors), OPTIONS);
    for (const [key, data] of await read(module)) expect(data, key).toEqual(values.get(key)!);
    const twice = await source([...tensors, tensor("attentions.0.to_q.bias")]);
    await expect(loadModule(gpu, new Tiny(), twice, OPTIONS)).rejects.toThrow("1 unexpected");
    module.dispose();
  });

  test.for(["F32", "F16", "BF16"])("widens a %s convolution with zeros where asked to", async (dtype) => {
    const [wide, whole] = [new Tiny(8), new Tiny(4)];
    const opened = await source(all(dtype));
    await expect(loadModule(gpu, wide, opened, OPTIONS)).rejects.toThrow("file [7, 4, 3, 3], model [7, 8, 3, 3]");
    await loadModule(gpu, whole, opened, OPTIONS);
    await loadModule(gpu, wide, opened, { ...OPTIONS, widen: ["conv_in.weight"] });
    const [narrow, widened] = [await whole.conv_in.weight.tensor.data(), await wide.conv_in.weight.tensor.data()];
    for (let out = 0; out < 7; out++) {
      expect(widened.slice(out * 72, out * 72 + 36)).toEqual(narrow.slice(out * 36, out * 36 + 36));
      expect(widened.slice(out * 72 + 36, out * 72 + 72)).toEqual(new Float32Array(36));
    }
    for (const module of [wide, whole]) module.dispose();
  });

  test("an 8-channel convolution widened from 4 gives exactly the 4-channel output", async () => {
    const [wide, narrow] = [new Tiny(8), new Tiny(4)];
    const opened = await source(all());
    await loadModule(gpu, wide, opened, { ...OPTIONS, widen: ["conv_in.weight"] });
    await loadModule(gpu, narrow, opened, OPTIONS);
    const x = normal(9, 6 * 5 * 8);
    const first = x.filter((_, i) => i % 8 < 4);
    const [a, b] = gpu.scope(() => [
      wide.conv_in.forward(Tensor.from(gpu, x, [1, 6, 5, 8])),
      narrow.conv_in.forward(Tensor.from(gpu, first, [1, 6, 5, 4])),
    ]) as [Tensor, Tensor];
    expect(await a.data()).toEqual(await b.data());
    for (const each of [a, b, wide, narrow]) each.dispose();
  });

  test("frees everything when a read fails half-way", async () => {
    const before = gpu.memory.live;
    const opened = await source(all());
    let reads = 0;
    const failing = {
      ...opened,
      read: (name: string) => (++reads > 4 ? Promise.reject(new Error("disk")) : opened.read(name)),
    };
    await expect(loadModule(gpu, new Tiny(), failing, OPTIONS)).rejects.toThrow("disk");
    expect(gpu.memory.live).toBe(before);
  });

  test("loadSafetensors gives every tensor under its name", async () => {
    const integers = { name: "ids", dtype: "I32", shape: [2], data: new Uint8Array(Int32Array.of(-1, 7).buffer) };
    const tensors = await loadSafetensors(gpu, bytesSource("x", encodeSafetensors([...all("F16"), integers])));
    expect(tensors.get("ids")!.dtype).toBe("i32");
    expect([...(await tensors.get("ids")!.data())]).toEqual([-1, 7]);
    expect(tensors.get("conv_in.weight")!.shape).toEqual([7, 4, 3, 3]);
    for (const each of tensors.values()) each.dispose();
    const long = encodeSafetensors([{ name: "a", dtype: "I64", shape: [1], data: new Uint8Array(8) }]);
    await expect(loadSafetensors(gpu, bytesSource("x", long))).rejects.toThrow(DTypeError);
  });
});
