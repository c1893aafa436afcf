import { afterAll, describe, expect, test } from "vitest";
import { AttentionMaps, type AttentionReading } from "../../../src/models/fusion/attention_maps.ts";
import { fusionNamed } from "../../../src/models/fusion/strategies.ts";
import { selfOnly, type Fusion } from "../../../src/models/unet/fusion.ts";
import { UNet2DConditionModel } from "../../../src/models/unet/unet.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { devices, normal, relErr } from "../../helpers.ts";
import { loadTiny } from "../checkpoints.ts";

const { gpu } = (await devices())[0]!;
const random = (seed: number, ...shape: number[]) =>
  Tensor.from(gpu, normal(seed, shape.reduce((a, b) => a * b, 1), { scale: 2 }), shape); // prettier-ignore

const unet = await loadTiny(
  gpu,
  "ootd/ootd_dc/checkpoint-36000/unet_vton",
  (config) => new UNet2DConditionModel(config),
);
afterAll(() => unet.dispose());
const blocks = unet.transformerBlocks();
const heads = unet.config.attention_head_dim as number;
const channels = blocks[0]!.norm1.weight.shape[0]!;
const pass = (timestep: number) => ({ timesteps: [timestep], alphas: [0.5], regions: [] });

/** The softmax of a query token's scores, mean over heads, in float64: [keys]. */
function weightsOf(q: Float32Array, k: Float32Array, token: number): number[] {
  const keys = k.length / channels;
  const d = channels / heads;
  const sum = new Array<number>(keys).fill(0);
  for (let h = 0; h < heads; h++) {
    const scores = sum.map((_, key) => {
      let score = 0;
      for (let i = 0; i < d; i++) score += q[token * channels + h * d + i]! * k[key * channels + h * d + i]!;
      return score / Math.sqrt(d);
    });
    const most = Math.max(...scores);
    const exps = scores.map((score) => Math.exp(score - most));
    const total = exps.reduce((a, b) => a + b);
    for (const [key, value] of exps.entries()) sum[key]! += value / total / heads;
  }
  return sum;
}

/** Queries and keys of block 0 for the first picture of `tokens`, and of garments' tokens. */
async function projected(tokens: Tensor, garments: readonly Tensor[]) {
  const { norm1, attn1 } = blocks[0]!;
  const first = async (t: Tensor, of: (x: Tensor) => Tensor) => {
    const data = await gpu.scope(() => of(norm1.forward(t))).data();
    return data.slice(0, data.length / t.shape[0]!);
  };
  const keys = [];
  for (const t of [tokens, ...garments]) keys.push(...(await first(t, (x) => attn1.to_k.forward(x))));
  return { q: await first(tokens, (x) => attn1.to_q.forward(x)), k: Float32Array.from(keys) };
}

async function watched(maps: AttentionMaps, fusion: Fusion, tokens: Tensor, grid: { height: number; width: number }) {
  const own = maps.watch(fusion);
  own.before!(pass(981));
  const y = gpu.scope(() => own.selfAttention(blocks[0]!, tokens, grid));
  const plain = gpu.scope(() => fusion.selfAttention(blocks[0]!, tokens, grid));
  expect(await y.data()).toEqual(await plain.data());
  for (const tensor of [y, plain]) tensor.dispose();
  own.dispose!();
  return maps.readings();
}

const concatOf = (garments: readonly Tensor[]) =>
  fusionNamed("concat").fuse({ unet, garments: garments.map((t) => ({ tokens: [t], latents: t })), module: undefined!, latentScale: 1 }); // prettier-ignore

describe("attention maps", () => {
  const grid = { height: 5, width: 3 };
  const tokens = random(1, 2, 15, channels);
  const garments = [random(2, 2, 15, channels), random(3, 1, 15, channels)];

  test("are the softmax's weights, garment by garment: shares, mean places, what is read, points", async () => {
    const { live } = gpu.memory;
    const points = [{ x: 0.99, y: 0 }, { x: 0, y: 1 }, { x: 0.5, y: 0.5 }]; // prettier-ignore
    const [reading, ...others] = await watched(new AttentionMaps({ points }), concatOf(garments), tokens, grid);
    expect(gpu.memory.live).toBe(live);
    expect(others).toEqual([]);
    expect(reading).toMatchObject({ block: 0, pass: 0, timestep: 981, grid });
    const { q, k } = await projected(tokens, garments);
    const all = Array.from({ length: 15 }, (_, token) => weightsOf(q, k, token));
    for (const [g, found] of reading!.garments.entries()) {
      const own = all.map((weights) => weights.slice(15 * (g + 1), 15 * (g + 2)));
      const share = own.map((weights) => weights.reduce((a, b) => a + b));
      const place = (of: (i: number) => number) =>
        own.map((weights, token) => weights.reduce((sum, weight, i) => sum + weight * of(i), 0) / share[token]!);
      expect(relErr(found.share, share)).toBeLessThan(1e-5);
      expect(relErr(found.x, place((i) => ((i % 3) + 0.5) / 3))).toBeLessThan(1e-5); // prettier-ignore
      expect(relErr(found.y, place((i) => (Math.floor(i / 3) + 0.5) / 5))).toBeLessThan(1e-5); // prettier-ignore
      const read = own[0]!.map((_, i) => own.reduce((sum, weights) => sum + weights[i]!, 0) / 15);
      expect(relErr(found.read, read)).toBeLessThan(1e-5);
      for (const [p, token] of [2, 12, 7].entries()) expect(relErr(found.points[p]!, own[token]!)).toBeLessThan(1e-5);
      expect(Math.max(...share) - Math.min(...share)).toBeGreaterThan(0.05); // they differ from token to token
    }
  });

  test("taken in several blocks of queries they are the same", async () => {
    const large = { height: 64, width: 48 };
    const [own, other] = [random(4, 1, 64 * 48, channels), random(5, 1, 64 * 48, channels)];
    const points = [{ x: 0.9, y: 0.95 }, { x: 0.1, y: 0.1 }]; // prettier-ignore
    const [reading] = await watched(new AttentionMaps({ points }), concatOf([other]), own, large);
    const found = reading!.garments[0]!;
    const { q, k } = await projected(own, [other]);
    for (const [p, token] of [60 * 48 + 43, 6 * 48 + 4].entries()) {
      const weights = weightsOf(q, k, token).slice(64 * 48);
      expect(relErr(found.points[p]!, weights)).toBeLessThan(1e-5);
      expect(found.share[token]! / weights.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
    }
    const total = (values: Float32Array) => values.reduce((a, b) => a + b, 0);
    expect(total(found.read) / (total(found.share) / found.share.length)).toBeCloseTo(1, 4);
  });

  test("masked garments are read one after the other, and land in one reading", async () => {
    const fusion = fusionNamed("masked").fuse({
      ...{ unet, module: undefined!, latentScale: 1 },
      garments: garments.map((t) => ({ tokens: [t], latents: t })),
    });
    const regions = garments.map(() => Tensor.from(gpu, new Float32Array(15).fill(1), [1, 5, 3, 1]));
    const maps = new AttentionMaps();
    const own = maps.watch(fusion);
    own.before!({ ...pass(981), regions });
    gpu.scope(() => void own.selfAttention(blocks[0]!, tokens, grid));
    const [reading, ...others] = await maps.readings();
    expect([reading!.garments.length, others.length]).toEqual([2, 0]);
    expect(await maps.readings()).toEqual([]);
  });

  test("of the blocks and timesteps that were asked for, of the half with the garment", async () => {
    const maps = new AttentionMaps({ when: (block, timestep) => block === 0 && timestep < 500 });
    const own = maps.watch(concatOf(garments));
    const seen: AttentionReading[][] = [];
    for (const timestep of [981, 1]) {
      own.before!(pass(timestep));
      for (const half of [0, 1]) gpu.scope(() => void own.part!(half, 2).selfAttention(blocks[0]!, Tensor.from(gpu, new Float32Array(15 * channels), [1, 15, channels]), grid)); // prettier-ignore
      seen.push(await maps.readings());
    }
    expect(seen.map((each) => each.length)).toEqual([0, 1]);
    expect(seen[1]![0]).toMatchObject({ pass: 1, timestep: 1 });
    expect(await watched(new AttentionMaps(), selfOnly, tokens, grid)).toEqual([]); // nothing but its own is read
  });
});
