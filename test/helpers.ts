import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Device } from "../src/gpu/device.ts";
import { requestDevice } from "../src/node/device.ts";

/** Absolute path of a file under test/fixtures. */
export const fixture = (path: string): string => fileURLToPath(new URL(`./fixtures/${path}`, import.meta.url));

export interface FixtureTensor {
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly data: Float32Array;
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function decode(dtype: string, bytes: Uint8Array): Float32Array {
  const buffer = Uint8Array.from(bytes).buffer; // aligned copy
  if (dtype === "U8") return Float32Array.from(bytes);
  if (dtype === "F32") return new Float32Array(buffer);
  if (dtype === "I32") return Float32Array.from(new Int32Array(buffer));
  if (dtype === "I64") return Float32Array.from(new BigInt64Array(buffer), Number);
  if (dtype === "F64") return Float32Array.from(new Float64Array(buffer));
  if (dtype === "F16") return Float32Array.from(new Uint16Array(buffer), half);
  if (dtype === "U8") return Float32Array.from(bytes);
  throw new Error(`fixture dtype ${dtype}`);
}

/** Reads a reference file with a reader of its own, so that a test does not depend on what it tests. */
export function loadFixture(path: string): Map<string, FixtureTensor> & { metadata: Record<string, string> } {
  const file = readFileSync(fixture(path));
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString()) as Record<string, never>;
  const tensors = new Map<string, FixtureTensor>() as Map<string, FixtureTensor> & { metadata: Record<string, string> };
  tensors.metadata = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") {
      tensors.metadata = entry;
      continue;
    }
    const { dtype, shape, data_offsets } = entry as { dtype: string; shape: number[]; data_offsets: [number, number] };
    const bytes = file.subarray(8 + length + data_offsets[0], 8 + length + data_offsets[1]);
    tensors.set(name, { shape, dtype, data: decode(dtype, bytes) });
  }
  return tensors;
}

/** Largest absolute difference over the largest magnitude of the expected values; NaN anywhere gives Infinity. */
export function relErr(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let worst = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= worst)) worst = Number.isNaN(difference) ? Infinity : difference;
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return worst / (largest || 1);
}

/** Peak signal-to-noise ratio in dB for values whose range is `range`. */
export function psnr(actual: ArrayLike<number>, expected: ArrayLike<number>, range = 1): number {
  if (actual.length !== expected.length) return -Infinity;
  let sum = 0;
  for (let i = 0; i < expected.length; i++) sum += (actual[i]! - expected[i]!) ** 2;
  return -10 * Math.log10(sum / expected.length / range ** 2);
}

/** Seeded normal numbers (xorshift and Box-Muller): the same on every machine. */
export function normal(seed: number, count: number, { mean = 0, scale = 1 } = {}): Float32Array {
  let state = (seed * 2654435761 + 1) >>> 0 || 1;
  const uniform = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return (state + 0.5) / 2 ** 32;
  };
  for (let i = 0; i < 16; i++) uniform();
  return Float32Array.from(
    { length: count },
    () => mean + scale * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}

const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";

let cached: Promise<{ name: string; gpu: Device }[]> | undefined;

/** The machine's own adapter, and SwiftShader (subgroups of 4, no float16) where Debian's chromium brought it. */
export function devices(): Promise<{ name: string; gpu: Device }[]> {
  cached ??= openAll();
  return cached;
}

async function openAll(): Promise<{ name: string; gpu: Device }[]> {
  const own = await requestDevice({ guard: 256 });
  const found = [{ name: own.facts.name, gpu: own }];
  const other = await swiftShader({ guard: 256 });
  if (other) found.push({ name: "SwiftShader", gpu: other });
  return found;
}

/** A SwiftShader device, or undefined where there is none. The Vulkan loader reads the variable when an instance is made. */
export async function swiftShader(options: Parameters<typeof requestDevice>[0] = {}): Promise<Device | undefined> {
  if (!existsSync(SWIFTSHADER)) return undefined;
  const before = process.env["VK_DRIVER_FILES"];
  process.env["VK_DRIVER_FILES"] = SWIFTSHADER;
  try {
    return await requestDevice(options);
  } finally {
    if (before === undefined) delete process.env["VK_DRIVER_FILES"];
    else process.env["VK_DRIVER_FILES"] = before;
  }
}
