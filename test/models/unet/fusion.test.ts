import { afterAll, describe, expect, test } from "vitest";
import { Capture, Concat, selfOnly, type Fusion } from "../../../src/models/unet/fusion.ts";
import { UNet2DConditionModel } from "../../../src/models/unet/unet.ts";
import { add, concat, linear, scaledDotProductAttention, slice } from "../../../src/tensor/ops.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { devices, normal, relErr } from "../../helpers.ts";
import { loadTiny } from "../checkpoints.ts";

const random = (gpu: Tensor["device"], seed: number, ...shape: number[]) =>
  Tensor.from(
    gpu,
    normal(
      seed,
      shape.reduce((a, b) => a * b, 1),
      { mean: 0.3 },
    ),
    shape,
  );

/** The published arithmetic, literally: both token sets joined, attention over 2N queries, the first half kept. */
const published = (garment: readonly Tensor[], heads: number): Fusion => ({
  selfAttention: ({ index, norm1, attn1 }, tokens) => {
    const joined = norm1.forward(concat([tokens, garment[index]!], 1));
    const [q, k, v] = [attn1.to_q, attn1.to_k, attn1.to_v].map((part) => linear(joined, part.weight.tensor));
    const output = attn1.to_out[0].forward(scaledDotProductAttention(q!, k!, v!, { heads }));
    return add(slice(output, 1, 0, tokens.shape[1]!), tokens);
  },
});

describe.each(await devices())("fusion on $name", async ({ gpu }) => {
  const unet = await loadTiny(
    gpu,
    "ootd/ootd_dc/checkpoint-36000/unet_vton",
    (config) => new UNet2DConditionModel(config),
  );
  const heads = unet.config.attention_head_dim as number;
  const [time, text] = [unet.encodeTime([981, 1]), gpu.scope(() => unet.encodeText(random(gpu, 1, 1, 4, 32)))];
  afterAll(() => [time, text, unet].forEach((thing) => thing.dispose()));
  const channels = unet.transformerBlocks().map(({ norm1 }) => norm1.weight.shape[0]!);
  const sample = random(gpu, 2, 2, 12, 10, 8);
  const sizes = [120, 30, 120, 120]; // tokens at each block of a 12 x 10 sample
  const tokens = (seed: number, batch: number) => channels.map((c, i) => random(gpu, seed + i, batch, sizes[i]!, c));
  const run = async (fusion: Fusion, step = 0) => {
    const noise = gpu.scope(() => unet.forward(sample, time.at(step), text, { fusion }));
    const data = await noise.data();
    noise.dispose();
    return data;
  };

  test("the block's own queries alone give what the published 2N queries give", async () => {
    const garment = tokens(10, 2);
    const ours = new Concat(garment);
    for (const step of [0, 1])
      expect(relErr(await run(ours, step), await run(published(garment, heads), step))).toBeLessThan(2e-6);
    expect(relErr(await run(ours), await run(selfOnly))).toBeGreaterThan(1e-3); // the garment matters
    [ours, ...garment].forEach((thing) => thing.dispose());
  });

  test("one garment serves every image of a batch", async () => {
    const garment = tokens(20, 1);
    const doubled = garment.map((t) => concat([t, t], 0));
    const [one, two] = [new Concat(garment), new Concat(doubled)];
    expect(relErr(await run(one), await run(two))).toBeLessThan(1e-6);
    [one, two, ...garment, ...doubled].forEach((thing) => thing.dispose());
  });

  test("keys and values are computed once, and freed", async () => {
    const garment = tokens(30, 2);
    const { live } = gpu.memory;
    const fusion = new Concat(garment);
    const first = await run(fusion);
    expect(gpu.memory.live).toBe(live + 2 * channels.length);
    garment.forEach((t) => t.dispose()); // every block ran: they are not read again
    expect(await run(fusion)).toEqual(first);
    fusion.dispose();
    expect(gpu.memory.live).toBe(live - channels.length);
  });

  test("two garments in turn do not mix", async () => {
    const [a, b] = [tokens(40, 2), tokens(50, 2)];
    const alone = await Promise.all([a, b].map((garment) => new Concat(garment)).map((fusion) => run(fusion)));
    const [fusionA, fusionB] = [new Concat(a), new Concat(b)];
    const order = [await run(fusionA), await run(fusionB), await run(fusionA)];
    expect(order).toEqual([alone[0], alone[1], alone[0]]);
    expect(alone[0]).not.toEqual(alone[1]);
  });

  test("says which block lacks tokens, and which tokens do not fit", () => {
    const garment = tokens(60, 2);
    expect(() =>
      gpu.scope(() => unet.forward(sample, time.at(0), text, { fusion: new Concat(garment.slice(0, 2)) })),
    ).toThrow("Concat: block 2 has no garment tokens: 2 blocks were captured");
    const wrong = [random(gpu, 1, 2, 6, 48), ...garment.slice(1)];
    expect(() => gpu.scope(() => unet.forward(sample, time.at(0), text, { fusion: new Concat(wrong) }))).toThrow(
      "Concat: block 0: [2, 6, 48] does not serve [2, 120, 24]",
    );
    [...garment, wrong[0]!].forEach((t) => t.dispose());
  });

  test("capturing leaves the result as it is, and hands over every block's tokens in order", async () => {
    const { live } = gpu.memory;
    const capture = new Capture();
    expect(await run(capture)).toEqual(await run(selfOnly));
    expect(capture.tokens.map((t) => t.shape)).toEqual(channels.map((c, i) => [2, sizes[i], c]));
    capture.dispose();
    expect(gpu.memory.live).toBe(live);
  });

  test("a strategy of one's own is one object", async () => {
    const garment = tokens(70, 2);
    const visited: number[] = [];
    const lateOnly: Fusion = {
      selfAttention: (block, own) => {
        visited.push(block.index);
        const keysValues = block.attn1.keysValues(block.norm1.forward(concat([own, garment[block.index]!], 1)));
        return block.index < 2
          ? selfOnly.selfAttention(block, own)
          : block.attn1.forward(block.norm1.forward(own), { keysValues, residual: own });
      },
    };
    const result = await run(lateOnly);
    expect(visited).toEqual([0, 1, 2, 3]);
    for (const other of [selfOnly, new Concat(garment)]) expect(relErr(result, await run(other))).toBeGreaterThan(1e-4);
  });
});
