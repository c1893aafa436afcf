import { readFileSync } from "node:fs";
import type { TensorSource } from "../../../src/checkpoint/source.ts";
import { fixture } from "../../helpers.ts";

/** Names with the prefixes of the published code's modules, which its checkpoint lacks. */
export const parameters = JSON.parse(readFileSync(fixture("openpose/net_parameters.json"), "utf8")) as [
  name: string,
  shape: number[],
][];

export const published = (name: string) => name.slice(name.indexOf(".") + 1);

const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** The weights that the reference was computed with: a hash of the index, scaled to keep variances (k: place in the list). */
export function weight(k: number, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const values = new Float32Array(product(shape));
  const seed = k * 40503 + 12345;
  const scale = shape.length > 1 ? Math.sqrt(6 / product(shape.slice(1))) : 0.05;
  for (let i = 0; i < values.length; i++) {
    let x = (Math.imul(i, 2654435761) + seed) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x45d9f3b);
    x = Math.imul(x ^ (x >>> 16), 0x45d9f3b);
    x = (x ^ (x >>> 16)) >>> 0;
    values[i] = 2 * (x / 2 ** 32 - 0.5) * scale;
  }
  return values;
}

/** The reference's checkpoint, computed as it is read. */
export function formulaSource(rename: (name: string) => string = published): TensorSource {
  const entries = new Map(parameters.map(([name, shape], k) => [rename(name), { k, shape }]));
  const info = [...entries].map(
    ([name, { shape }]) => [name, { name, dtype: "F32", shape, byteLength: 4 * product(shape) }] as const,
  );
  return {
    name: "body_pose_model by formula",
    tensors: new Map(info),
    metadata: new Map(),
    read: async (name) => {
      const { k, shape } = entries.get(name)!;
      return new Uint8Array(weight(k, shape).buffer);
    },
    close: async () => {},
  };
}
