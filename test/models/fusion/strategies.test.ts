import { afterAll, describe, expect, test } from "vitest";
import { crossAttention, type GarmentProjections } from "../../../src/models/fusion/cross_attention.ts";
import { masked } from "../../../src/models/fusion/masked.ts";
import { spatial } from "../../../src/models/fusion/spatial.ts";
import { fusionNamed, noFusion } from "../../../src/models/fusion/strategies.ts";
import type { FusedGarment, FusionStrategy } from "../../../src/models/fusion/strategy.ts";
import { weighted } from "../../../src/models/fusion/weighted.ts";
import { Concat, selfOnly, type Fusion, type FusionPass } from "../../../src/models/unet/fusion.ts";
import { UNet2DConditionModel } from "../../../src/models/unet/unet.ts";
import { add, concat, mul, packWeight, scaledDotProductAttention, slice, sub, sum } from "../../../src/tensor/ops.ts";
import { valueAndGrad } from "../../../src/tensor/tape.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { TorchGenerator } from "../../../src/util/random.ts";
import { devices, normal, relErr } from "../../helpers.ts";
import { loadTiny } from "../checkpoints.ts";

const { gpu } = (await devices())[0]!;
const random = (seed: number, ...shape: number[]) =>
  Tensor.from(gpu, normal(seed, shape.reduce((a, b) => a * b, 1), { mean: 0.3 }), shape); // prettier-ignore

const unet = await loadTiny(
  gpu,
  "ootd/ootd_dc/checkpoint-36000/unet_vton",
  (config) => new UNet2DConditionModel(config),
);
const blocks = unet.transformerBlocks();
const heads = unet.config.attention_head_dim as number;
const channels = blocks.map(({ norm1 }) => norm1.weight.shape[0]!);
const [height, width] = [12, 10];
const grids = [
  [12, 10],
  [6, 5],
  [12, 10],
  [12, 10],
] as const; // of each block
const times = unet.encodeTime([981, 1]);
const text = gpu.scope(() => unet.encodeText(random(1, 1, 4, 32)));
const sample = random(2, 2, height, width, 8);
afterAll(() => [times, text, unet, sample].forEach((thing) => thing.dispose()));

/** One garment, the same for a batch of `batch`. */
const garment = (seed: number, batch = 2): FusedGarment => ({
  tokens: channels.map((c, i) => random(seed + i, batch, grids[i]![0] * grids[i]![1], c)),
  latents: random(seed + 9, batch, height, width, 4),
});
const region = (inside: (x: number, y: number) => boolean) =>
  Tensor.from(gpu, Array.from({ length: height * width }, (_, i) => Number(inside(i % width, Math.floor(i / width)))), [1, height, width, 1]); // prettier-ignore

const fuse = (strategy: FusionStrategy, garments: readonly FusedGarment[]): Fusion => {
  const module = strategy.module?.(unet);
  if (module) strategy.initialize?.(module, unet);
  return strategy.fuse({ unet, garments, module: module!, latentScale: 0.18 });
};
const pass = (regions: readonly Tensor[] = [], step = 0): FusionPass => ({
  timesteps: [[981, 1][step]!],
  alphas: [[0.01, 0.99][step]!],
  regions,
});
const run = async (fusion: Fusion, hears = pass(), step = 0, x = sample) => {
  gpu.scope(() => fusion.before?.(hears));
  const noise = gpu.scope(() => unet.forward(x, times.at(step), text, { fusion }));
  const data = await noise.data();
  noise.dispose();
  return data;
};
/** One block's rows with a fusion: [n, t, c]. */
const block0 = async (fusion: Fusion, tokens: Tensor) => {
  const y = gpu.scope(() => fusion.selfAttention(blocks[0]!, tokens, { height, width }));
  return y.data();
};

describe("none and weighted", () => {
  const one = garment(10);

  test("none is the plain network; weight 0 is none and weight 1 the concatenation, bit by bit", async () => {
    const [plain, dressed] = [await run(selfOnly), await run(new Concat(one.tokens))];
    expect(await run(fuse(noFusion, [one]))).toEqual(plain);
    expect(await run(fuse(weighted(0), [one]))).toEqual(plain);
    expect(await run(fuse(weighted(1), [one]))).toEqual(dressed);
    expect(relErr(plain, dressed)).toBeGreaterThan(1e-3);
  });

  test("weights of each block, and by timestep, are what the mixture of both outputs is", async () => {
    const [list, at] = [[0.2, 0.9, 0, 1], (block: number, t: number) => (block + t / 1000) / 4];
    const literal = (weight: (block: number) => number): Fusion => {
      const whole = new Concat(one.tokens);
      return {
        selfAttention: (block, tokens) => {
          const w = weight(block.index);
          return add(mul(selfOnly.selfAttention(block, tokens), 1 - w), mul(whole.selfAttention(block, tokens), w));
        },
      };
    };
    expect(relErr(await run(fuse(weighted(list), [one])), await run(literal((i) => list[i]!)))).toBeLessThan(1e-6);
    const timed = fuse(weighted(at), [one]);
    for (const [step, t] of [981, 1].entries())
      expect(relErr(await run(timed, pass([], step), step), await run(literal((i) => at(i, t)), pass(), step))).toBeLessThan(1e-6); // prettier-ignore
    expect(() => fuse(weighted([1, 2]), [one])).toThrow("weighted: 2 weights for 4 transformer blocks");
  });

  test("a recording hears of later steps", async () => {
    const fusion = fuse(weighted((_, t) => t / 1000), [one]); // prettier-ignore
    const direct = [await run(fusion, pass([], 0), 0), await run(fusion, pass([], 1), 0)];
    gpu.scope(() => fusion.before!(pass([], 0)));
    const recording = gpu.record(() => unet.forward(sample, times.at(0), text, { fusion }));
    for (const step of [0, 1]) {
      gpu.scope(() => fusion.before!(pass([], step)));
      expect(await recording.replay().data()).toEqual(direct[step]);
    }
    expect(direct[0]).not.toEqual(direct[1]);
    recording.dispose();
  });
});

describe("several garments", () => {
  const [one, two] = [garment(20), garment(30)];

  test("every token reads both, as if they were one garment of all their tokens", async () => {
    const joined = one.tokens.map((tokens, i) => concat([tokens, two.tokens[i]!], 1));
    const both = await run(fuse(fusionNamed("concat"), [one, two]));
    expect(relErr(both, await run(new Concat(joined)))).toBeLessThan(1e-6);
    for (const alone of [one, two]) expect(relErr(both, await run(new Concat(alone.tokens)))).toBeGreaterThan(1e-4);
  });

  test("masked: a garment whose region is empty is as good as absent", async () => {
    const [somewhere, nowhere] = [region((_, y) => y < 6), region(() => false)];
    const alone = await run(fuse(masked, [one]), pass([somewhere]));
    expect(relErr(await run(fuse(masked, [one, two]), pass([somewhere, nowhere])), alone)).toBeLessThan(1e-6);
    expect(relErr(await run(fuse(masked, [one, two]), pass([somewhere, somewhere])), alone)).toBeGreaterThan(1e-4);
  });
});

describe("masked", () => {
  const one = garment(40);

  test("everywhere it is the concatenation, nowhere the plain network", async () => {
    const fusion = fuse(masked, [one]);
    expect(relErr(await run(fusion, pass([region(() => true)])), await run(new Concat(one.tokens)))).toBeLessThan(1e-6);
    expect(relErr(await run(fusion, pass([region(() => false)])), await run(selfOnly))).toBeLessThan(1e-6);
  });

  test("a token's row is the concatenation's inside the region and the plain network's outside", async () => {
    const tokens = random(50, 2, height * width, channels[0]!);
    const inside = (x: number, y: number) => x > 2 && (y * 7 + x) % 3 === 0;
    const fusion = fuse(masked, [one]);
    fusion.before!(pass([region(inside)]));
    const [found, whole, plain] = [fusion, new Concat(one.tokens), selfOnly].map((each) => block0(each, tokens));
    const [c, t] = [channels[0]!, height * width];
    const row = (data: Float32Array, i: number) => data.subarray(i * c, (i + 1) * c);
    for (let i = 0; i < 2 * t; i++) {
      const like = inside(i % width, Math.floor((i % t) / width)) ? whole : plain;
      expect(relErr(row(await found!, i), row(await like!, i))).toBeLessThan(1e-6);
    }
  });

  test("says which regions are missing", () => {
    expect(() => fuse(masked, [one]).before!(pass())).toThrow("masked: 0 regions for 1 garments");
  });
});

describe("cross-attention", () => {
  const one = garment(60);

  test("begins as a second attention through the block's own projections; scale 0 is none", async () => {
    const tokens = random(51, 2, height * width, channels[0]!);
    const found = await block0(fuse(crossAttention(0.7) as FusionStrategy, [one]), tokens);
    const expected = gpu.scope(() => {
      const { norm1, attn1 } = blocks[0]!;
      const [own, other] = [norm1.forward(tokens), norm1.forward(one.tokens[0]!)].map((x) => attn1.keysValues(x));
      const q = attn1.to_q.forward(norm1.forward(tokens));
      const [a, b] = [own!, other!].map(({ k, v }) => scaledDotProductAttention(q, k, v, { heads }));
      return attn1.to_out[0].forward(add(a!, mul(b!, 0.7)), { residual: tokens });
    });
    expect(relErr(found, await expected.data())).toBeLessThan(1e-6);
    const off = await run(fuse(crossAttention(0) as FusionStrategy, [one]));
    expect(relErr(off, await run(selfOnly))).toBeLessThan(1e-6);
  });

  test("its own weights have the checkpoint's keys", () => {
    const keys = [...crossAttention().module!(unet).parameters()].map(([key, { shape }]) => [key, shape]);
    expect(keys.slice(0, 2)).toEqual([
      ["blocks.0.to_k.weight", [channels[0], channels[0]]],
      ["blocks.0.to_v.weight", [channels[0], channels[0]]],
    ]);
    expect(keys).toHaveLength(2 * blocks.length);
  });
});

describe("spatial", () => {
  test("is the plain network on the pictures side by side, of whose answer the person's part is kept", async () => {
    const [one, two] = [garment(70), garment(80, 1)];
    const [signal, noise] = [Math.sqrt(0.01), Math.sqrt(1 - 0.01)];
    const eps = new TorchGenerator(0).randn([1, height, width, 4]);
    const [person, a, b] = await Promise.all([sample, one.latents, two.latents].map((x) => x.data()));
    const wide = new Float32Array(2 * height * 3 * width * 8);
    for (let i = 0; i < wide.length; i++) {
      const [c, x, y] = [i % 8, Math.floor(i / 8) % (3 * width), Math.floor(i / 24 / width) % height];
      const n = Math.floor(i / 24 / width / height);
      const pixel = y * width + (x % width);
      const clean = x < 2 * width ? a![(n * height * width + pixel) * 4 + (c % 4)]! : b![pixel * 4 + (c % 4)]!;
      const other = c < 4 ? signal * 0.18 * clean + noise * eps[pixel * 4 + c]! : clean;
      wide[i] = x < width ? person![(n * height * width + pixel) * 8 + c]! : other;
    }
    const whole = await run(selfOnly, pass(), 0, Tensor.from(gpu, wide, [2, height, 3 * width, 8]));
    const kept = whole.filter((_, i) => Math.floor(i / 4) % (3 * width) < width);
    expect(relErr(await run(fuse(spatial, [one, two])), kept)).toBeLessThan(1e-5);
    expect(relErr(await run(fuse(spatial, [one])), kept)).toBeGreaterThan(1e-4); // the second garment matters
  });

  test("says what does not fit", () => {
    const fusion = fuse(spatial, [garment(70)]);
    fusion.before!(pass());
    expect(() => gpu.scope(() => fusion.input!(random(1, 2, 12, 8, 8)))).toThrow(
      "spatial: [2, 12, 10, 4] does not fit beside [2, 12, 8, 8]",
    );
  });
});

const SHIPPED = ["concat", "none", "weighted:0.3", "cross-attention:0.5", "spatial", "masked"];

test.each(SHIPPED)("%s: halves one after the other give what both give at once, and nothing is left over", async (name) => {
  const one = garment(90);
  const mask = region((x) => x < 4);
  const { live } = gpu.memory;
  const strategy = fusionNamed(name);
  const module = strategy.module?.(unet);
  if (module) strategy.initialize?.(module, unet);
  const fusion = strategy.fuse({ unet, garments: [one], module: module!, latentScale: 0.18 });
  const whole = await run(fusion, pass([mask]));
  const parts = await Promise.all(
    [0, 1].map(async (i) => {
      const half = gpu.scope(() => slice(sample, 0, i, i + 1));
      const before = { ...(fusion.part?.(i, 2) ?? fusion) };
      const data = await run(fusion.part ? before : fusion, pass([mask]), 0, half);
      half.dispose();
      return [...data];
    }),
  );
  expect(relErr(parts.flat(), whole)).toBeLessThan(1e-5);
  fusion.dispose?.();
  module?.dispose();
  expect(gpu.memory.live).toBe(live);
}); // prettier-ignore

test.each(["sum", "concat:1", "weighted:", "weighted:x", "toString"])("%s is no strategy", (name) => {
  expect(() => fusionNamed(name)).toThrow(/^fusion: ".*" is none of concat, none, weighted,/);
});

// d loss / d direction by central differences beside the tape's answer, in one block.
test.each(["concat", "weighted:0.3", "masked", "cross-attention:0.5"])(
  "%s: gradients flow to the garment's tokens and to weights of its own",
  async (name) => {
    const strategy = fusionNamed(name);
    const [c, grid] = [channels[0]!, { height: 4, width: 3 }];
    const tokens = random(1, 2, 12, c);
    const mask = Tensor.from(gpu, [1, 1, 0, 1, 0, 1, 1, 0, 1, 1, 1, 0], [1, 4, 3, 1]);
    const weights = mul(random(2, 2, 12, c), 10);
    const module = strategy.module?.(unet) as GarmentProjections | undefined;
    const loss = ([own, toV]: readonly Tensor[]) => {
      if (module) strategy.initialize!(module, unet);
      module?.blocks[0]!.to_v.weight.set(packWeight(toV!));
      const garments = [{ tokens: [own!], latents: own! }];
      const fusion = strategy.fuse({ unet, garments, module: module!, latentScale: 1 });
      fusion.before?.(pass([mask]));
      const read = sub(fusion.selfAttention(blocks[0]!, tokens, grid), tokens);
      fusion.dispose?.();
      return sum(mul(read, weights));
    };
    const starts = [random(5, 2, 7, c), mul(random(4, c, c), 0.2)];
    const directions = [random(3, 2, 7, c), mul(random(6, c, c), 0.2)];
    const { gradients } = gpu.scope(() => valueAndGrad(gpu, () => loss(starts), starts));
    for (const i of module ? [0, 1] : [0]) {
      const at = async (h: number) => {
        const moved = () => starts.map((x, j) => (i === j ? add(x, mul(directions[j]!, h)) : x));
        return (await gpu.scope(() => loss(moved())).data())[0]!;
      };
      const slope = ((await at(1e-2)) - (await at(-1e-2))) / 2e-2;
      const found = (await gpu.scope(() => sum(mul(gradients[i]!, directions[i]!))).data())[0]!;
      expect(Math.abs(slope)).toBeGreaterThan(0.1);
      expect(Math.abs(found - slope) / Math.abs(slope)).toBeLessThan(1e-2);
    }
  },
);
