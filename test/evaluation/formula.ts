import type { TensorInfo, TensorSource } from "../../src/checkpoint/source.ts";
import type { Module } from "../../src/nn/module.ts";

// The weights that test/fixtures/evaluation/make.py gives to the reference networks: a hash of name and index.

const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

function hashed(name: string): number {
  let value = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  return value;
}

export function formula(name: string, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const seed = hashed(name);
  const deviation = shape.length > 1 ? 2 * Math.sqrt(6 / product(shape.slice(1))) : 0.1;
  const [mean, scale] = name.startsWith("lin")
    ? [0.5 / shape[1]!, 1 / shape[1]!]
    : name.endsWith("running_var")
      ? [1, 0.5]
      : name.endsWith("bn.weight")
        ? [1, 0.2]
        : [0, deviation];
  const values = new Float32Array(product(shape));
  for (let i = 0; i < values.length; i++) {
    let x = (Math.imul(i, 2654435761) + seed) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x45d9f3b);
    x = Math.imul(x ^ (x >>> 16), 0x45d9f3b);
    x = (x ^ (x >>> 16)) >>> 0;
    values[i] = mean + scale * (x / 2 ** 32 - 0.5);
  }
  return values;
}

/** A checkpoint for a module, computed as it is read. With `norms` its convolutions have batch norms in place of biases. */
export function formulaSource(module: Module, { norms = false } = {}): TensorSource {
  const shapes = new Map<string, readonly number[]>();
  for (const [name, { shape }] of module.parameters()) {
    if (!norms || !name.endsWith(".conv.bias")) {
      shapes.set(name, shape);
      continue;
    }
    for (const part of ["weight", "bias", "running_mean", "running_var"])
      shapes.set(name.replace(/conv\.bias$/, `bn.${part}`), shape);
  }
  const tensors = [...shapes].map(([name, shape]): [string, TensorInfo] => [
    name,
    { name, dtype: "F32", shape, byteLength: 4 * product(shape) },
  ]);
  return {
    name: "formula",
    tensors: new Map(tensors),
    metadata: new Map(),
    read: async (name) => new Uint8Array(formula(name, shapes.get(name)!).buffer),
    close: async () => {},
  };
}
