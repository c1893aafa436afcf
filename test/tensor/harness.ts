import { Device, type DeviceOptions } from "../../src/gpu/device.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { decodeF16, encodeF16 } from "../../src/util/float16.ts";
import { requestDevice } from "../../src/node/device.ts";
import { devices, normal, swiftShader } from "../helpers.ts";

/** One way to compute: a device, a storage type, kernels forced by name. */
export interface Setting {
  readonly name: string;
  readonly gpu: Device;
  readonly elem: "f32" | "f16";
}

/** Every device with every storage type that it has. */
export async function settings(): Promise<Setting[]> {
  return (await devices()).flatMap(({ name, gpu }) =>
    (["f32", "f16"] as const)
      .filter((elem) => elem === "f32" || gpu.facts.f16)
      .map((elem) => ({ name: `${name}, ${elem}`, gpu, elem })),
  );
}

/** Every device with every storage type and every named variant of one family of kernels. */
export async function variantSettings(
  family: "gemm" | "attention" | "reduce",
  names: readonly string[],
): Promise<Setting[]> {
  const found: Setting[] = [];
  for (const name of names) {
    const options = { variants: { [family]: name }, guard: 256 };
    const [own, other] = [await requestDevice(options), await swiftShader(options)];
    for (const device of other ? [own, other] : [own]) {
      const gpu = name.startsWith("matrix") ? withMatrices(device, options) : device;
      for (const elem of ["f32", "f16"] as const)
        if (elem === "f32" || gpu.facts.f16)
          found.push({ name: `${gpu.facts.subgroupSize} lanes, ${name}, ${elem}`, gpu, elem });
    }
  }
  return found;
}

/**
 * The same device with matrix units: they are emulated, so that the kernels written for them run anywhere.
 * @param halves - rows, columns and depth of those for f16
 */
export function withMatrices(
  { gpu, facts }: Device,
  options: DeviceOptions,
  halves: readonly [number, number, number] = [8, 8, 16],
): Device {
  const [M, N, K] = halves;
  const f32 = { resultComponentType: "f32", componentType: "f32", M: 8, N: 8, K: 8 };
  const f16 = { resultComponentType: "f32", componentType: "f16", M, N, K };
  return new Device(gpu, { ...facts, subgroupMatrix: [f32, f16], matrixSyntax: "emulated" }, options);
}

/** Seeded normal numbers that the storage type holds exactly, so that the oracle sees what the kernel sees. */
export function numbers(
  elem: "f32" | "f16",
  seed: number,
  count: number,
  options: { mean?: number; scale?: number } = {},
): Float32Array {
  const values = normal(seed, count, options);
  return elem === "f16" ? decodeF16(encodeF16(values)) : values;
}

/** Runs `work` in a scope, reads its tensor, and makes sure that no guard band was touched and nothing stays alive. */
export async function run(gpu: Device, work: () => Tensor): Promise<Float32Array> {
  const y = gpu.scope(work);
  const values = await y.data().finally(() => y.dispose());
  await gpu.checkGuards();
  if (gpu.memory.live !== 0) throw new Error(`${gpu.memory.live} buffers are still alive`);
  return values;
}

/** Makes tensors of one setting. */
export const maker =
  ({ gpu, elem }: Setting) =>
  (values: Float32Array, shape: readonly number[]): Tensor =>
    Tensor.from(gpu, values, shape, elem);

/** Largest error over the largest expected magnitude: storage in f16 rounds each result once, to 2^-11 of itself. */
export const HALF_LIMIT = 1e-3;

/** Largest absolute difference. */
export function worst(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Infinity : difference;
  }
  return largest;
}

export const magnitude = (values: ArrayLike<number>): number => {
  let largest = 0;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]!));
  return largest || 1;
};
