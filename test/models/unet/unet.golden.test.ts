import { afterAll, describe, expect, test } from "vitest";
import { Capture, Concat } from "../../../src/models/unet/fusion.ts";
import { UNet2DConditionModel } from "../../../src/models/unet/unet.ts";
import { instrument } from "../../../src/nn/instrument.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { devices, loadFixture, relErr, type FixtureTensor } from "../../helpers.ts";
import { loadTiny, nhwc, upload } from "../checkpoints.ts";
import { encodeText } from "./golden.ts";

const LIMIT = 2e-4; // of each tensor's largest magnitude, after one pass: the closeness the references ask for
const STEP0 = "unet_vton.step0.";

const KINDS = ["hd", "dc"].flatMap((kind) => ["unet_garm", "unet_vton"].map((name) => ({ kind, name })));

const expectNear = async (actual: Tensor, expected: FixtureTensor, name: string) => {
  const { data } = expected.shape.length === 4 ? nhwc(expected) : expected;
  expect(relErr(await actual.data(), data), name).toBeLessThan(LIMIT);
};

/** What the reference's attn1 returns is without the residual, and of [own; garment] tokens: the own half is kept. */
function ownHalf({ shape, data }: FixtureTensor): FixtureTensor {
  const [n = 0, t = 0, c = 0] = shape;
  const half = new Float32Array(data.length / 2);
  for (let i = 0; i < n; i++) half.set(data.subarray(i * t * c, (i * t + t / 2) * c), (i * t * c) / 2);
  return { shape: [n, t / 2, c], dtype: "F32", data: half };
}

describe.each(await devices())("UNet2DConditionModel on $name", async ({ gpu }) => {
  const unets = new Map<string, UNet2DConditionModel>();
  for (const { kind, name } of KINDS)
    unets.set(
      `${kind}/${name}`,
      await loadTiny(gpu, `ootd/ootd_${kind}/checkpoint-36000/${name}`, (config) => new UNet2DConditionModel(config)),
    );
  afterAll(() => unets.forEach((unet) => unet.dispose()));
  const live = gpu.memory.live;

  const goldens = ["hd", "dc"].map((kind) => ({
    kind,
    golden: loadFixture(`pipeline/${kind}-upperbody/expected.safetensors`),
  }));

  test.for(goldens)("the garment pass of $kind", async ({ kind, golden }) => {
    const unet = unets.get(`${kind}/unet_garm`)!;
    const [time, text] = [unet.encodeTime([0]), encodeText(gpu, unet, golden)];
    const latents = upload(gpu, golden.get("garm_latents")!);
    const features = unet.features(latents, time.at(0), text);
    expect(features).toHaveLength([...golden.keys()].filter((name) => name.startsWith("spatial_attn.")).length);
    for (const [i, tokens] of features.entries()) {
      expect(tokens.shape).toEqual(golden.get(`spatial_attn.${i}`)!.shape);
      await expectNear(tokens, golden.get(`spatial_attn.${i}`)!, `spatial_attn.${i}`);
    }
    const capture = new Capture();
    const output = unet.forward(latents, time.at(0), text, { fusion: capture });
    await expectNear(output, golden.get("unet_garm.conv_out")!, "unet_garm.conv_out");
    for (const [i, tokens] of capture.tokens.entries())
      expect(await tokens.data(), `tokens ${i}`).toEqual(await features[i]!.data());
    for (const thing of [time, text, latents, ...features, capture, output]) thing.dispose();
    expect(gpu.memory.live).toBe(live);
  });

  test.for(goldens)("the first denoising step of $kind, module by module", async ({ kind, golden }) => {
    const unet = unets.get(`${kind}/unet_vton`)!;
    const garment = [...unet.transformerBlocks().keys()].map((i) => upload(gpu, golden.get(`spatial_attn.${i}`)!));
    const concat = new Concat(garment);
    const input = upload(gpu, golden.get(`${STEP0}input`)!);
    const outputs = new Map<string, Tensor>();
    const tokens = new Map<string, Tensor>();
    const kept = new Set<Tensor>();
    const undo = instrument(unet, (path, output) => {
      kept.add(output.keep());
      outputs.set(path, output); // of several, the last: a block's own output
    });
    const watching = {
      selfAttention: (block: Parameters<Concat["selfAttention"]>[0], x: Tensor) => {
        tokens.set(`${block.index}`, x.keep());
        return concat.selfAttention(block, x);
      },
    };
    const time = unet.encodeTime([golden.get("timesteps")!.data[0]!]);
    const text = encodeText(gpu, unet, golden);
    const noise = unet.forward(input, time.at(0), text, { fusion: watching });
    undo();
    await expectNear(noise, golden.get("noise_pred.0")!, "noise_pred.0");
    const block = "down_blocks.0.attentions.0.transformer_blocks.0";
    const own = await tokens.get("0")!.data();
    const added = await outputs.get(`${block}.attn1`)!.data();
    const expected = ownHalf(golden.get(`${STEP0}${block}.attn1`)!);
    expect(
      relErr(
        added.map((value, i) => value - own[i]!),
        expected.data,
      ),
      "attn1",
    ).toBeLessThan(LIMIT);
    const whole = /\.(conv_in|conv_out|(down|up)_blocks\.\d|mid_block|down_blocks\.0\.resnets\.0)$/;
    const names = [...golden.keys()].filter((name) => name.startsWith(STEP0) && whole.test(name));
    expect(names.length).toBeGreaterThan(6);
    for (const name of names) await expectNear(outputs.get(name.slice(STEP0.length))!, golden.get(name)!, name);
    const embedding = await outputs.get("time_embedding")!.data(); // one row serves the whole batch here
    expect(relErr(embedding, golden.get(`${STEP0}time_embedding`)!.data.slice(0, embedding.length))).toBeLessThan(
      LIMIT,
    );
    // attn2 and ff return their sums with the residual; their own part is what the block adds after attn1
    const [first, second, third] = await Promise.all(
      ["attn1", "attn2", "ff"].map((part) => outputs.get(`${block}.${part}`)!.data()),
    );
    const parts = {
      attn2: second!.map((value, i) => value - first![i]!),
      ff: third!.map((value, i) => value - second![i]!),
    };
    for (const [part, values] of Object.entries(parts))
      expect(relErr(values, golden.get(`${STEP0}${block}.${part}`)!.data), part).toBeLessThan(LIMIT);
    for (const thing of [time, text, input, noise, concat, ...garment, ...kept, ...tokens.values()]) thing.dispose();
    expect(gpu.memory.live).toBe(live);
  });

  test.for(goldens)("every step of $kind with shifts, text and garment computed once", async ({ kind, golden }) => {
    const unet = unets.get(`${kind}/unet_vton`)!;
    const halves = [...unet.transformerBlocks().keys()].map((i) => {
      const { shape, data } = golden.get(`spatial_attn.${i}`)!; // [garment, garment, zeros, zeros]: two samples
      const [, t = 0, c = 0] = shape;
      const pair = new Float32Array(2 * t * c);
      pair.set(data.subarray(0, t * c));
      pair.set(data.subarray(2 * t * c, 3 * t * c), t * c);
      return Tensor.from(gpu, pair, [2, t, c]);
    });
    const concat = new Concat(halves);
    const timesteps = [...golden.get("timesteps")!.data];
    const [time, text] = [unet.encodeTime(timesteps), encodeText(gpu, unet, golden)];
    const first = golden.get(`${STEP0}input`)!;
    for (const i of timesteps.keys()) {
      const noise = gpu.scope(() =>
        unet.forward(upload(gpu, i === 0 ? first : modelInput(golden, i)), time.at(i), text, { fusion: concat }),
      );
      await expectNear(noise, golden.get(`noise_pred.${i}`)!, `noise_pred.${i}`);
      noise.dispose();
    }
    for (const thing of [time, text, concat, ...halves]) thing.dispose();
    expect(gpu.memory.live).toBe(live);
  });
});

/** The try-on network's input at step i > 0: the latents twice, beside the masked picture's. */
function modelInput(golden: ReadonlyMap<string, FixtureTensor>, i: number): FixtureTensor {
  const [latents, masked] = [golden.get(`latents.${i - 1}`)!, golden.get("vton_latents")!];
  const [n = 0, c = 0, h = 0, w = 0] = masked.shape;
  const size = c * h * w;
  const data = new Float32Array(n * 2 * size);
  for (let image = 0; image < n; image++) {
    const sample = image % latents.shape[0]!;
    data.set(latents.data.subarray(sample * size, (sample + 1) * size), image * 2 * size);
    data.set(masked.data.subarray(image * size, (image + 1) * size), image * 2 * size + size);
  }
  return { shape: [n, 2 * c, h, w], dtype: "F32", data };
}
