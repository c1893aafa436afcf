import { readFileSync } from "node:fs";
import { openSafetensors } from "../../src/checkpoint/safetensors.ts";
import { loadModule } from "../../src/checkpoint/load.ts";
import { bytesSource } from "../../src/checkpoint/source.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { Module } from "../../src/nn/module.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { fixture, type FixtureTensor } from "../helpers.ts";

/** A tiny checkpoint's configuration. */
export const configOf = (folder: string): Record<string, unknown> =>
  JSON.parse(readFileSync(fixture(`checkpoints/${folder}/config.json`), "utf8")) as Record<string, unknown>;

/** Builds a model from a folder under test/fixtures/checkpoints and fills it. */
export async function loadTiny<M extends Module>(
  gpu: Device,
  folder: string,
  build: (config: Record<string, unknown>) => M,
  {
    file = "diffusion_pytorch_model.safetensors",
    dtype = "f32" as "f32" | "f16",
    widen = [] as readonly string[],
  } = {},
): Promise<M> {
  const path = fixture(`checkpoints/${folder}/${file}`);
  const module = build(configOf(folder));
  await loadModule(gpu, module, await openSafetensors(bytesSource(path, readFileSync(path))), {
    label: folder,
    dtype,
    widen,
  });
  return module;
}

/** A reference image [n, c, h, w] as [n, h, w, c]. */
export function nhwc({ shape, data }: FixtureTensor): FixtureTensor {
  const [n = 0, c = 0, h = 0, w = 0] = shape;
  const moved = new Float32Array(data.length);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < c; j++)
      for (let k = 0; k < h * w; k++) moved[(i * h * w + k) * c + j] = data[(i * c + j) * h * w + k]!;
  return { shape: [n, h, w, c], dtype: "F32", data: moved };
}

/** A reference tensor on the device; images become [n, h, w, c]. */
export function upload(gpu: Device, tensor: FixtureTensor): Tensor {
  const { shape, data } = tensor.shape.length === 4 ? nhwc(tensor) : tensor;
  return Tensor.from(gpu, data, shape);
}
