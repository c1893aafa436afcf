import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { AttentionMaps } from "../../src/models/fusion/attention_maps.ts";
import { fusionNamed } from "../../src/models/fusion/strategies.ts";
import type { FusionStrategy } from "../../src/models/fusion/strategy.ts";
import { attentionSheets } from "../../src/pipelines/attention_sheets.ts";
import type { TryOnInputs } from "../../src/pipelines/inputs.ts";
import { selfOnly, type Fusion } from "../../src/models/unet/fusion.ts";
import { concat } from "../../src/tensor/ops.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { unitedMasks, type GeneratedMask } from "../../src/pipelines/mask.ts";
import { TryOnPipeline } from "../../src/pipelines/try-on.ts";
import { psnr } from "../helpers.ts";
import { checkpoints, freshDevice, inputsOf, load } from "./setup.ts";

describe("a try-on with a fusion", () => {
  let device: Device;
  let pipeline: TryOnPipeline;
  let inputs: TryOnInputs;
  let lower: Pick<TryOnInputs, "moreGarments">;
  const run = async (more: Partial<TryOnInputs>) => (await pipeline({ ...inputs, ...more })).images[0]!.data;

  beforeAll(async () => {
    device = await freshDevice();
    pipeline = await load(device, "dc");
    inputs = { ...(await inputsOf("dc-upperbody")), width: 64, height: 64, steps: 2, fit: "stretch" };
    lower = { moreGarments: [{ garment: (await inputsOf("dc-lowerbody")).garment, category: "lowerbody" }] };
  });
  afterAll(() => device.destroy());

  test("every strategy gives a picture of its own; the default is the concatenation", async () => {
    const pictures = new Map<string, Uint8Array>();
    for (const name of ["concat", "none", "weighted:0.5", "cross-attention", "spatial", "masked"])
      pictures.set(name, await run({ fusion: fusionNamed(name) }));
    expect(new Set([...pictures.values()].map(String)).size).toBe(pictures.size);
    expect(await run({})).toEqual(pictures.get("concat"));
    expect(await run({ fusion: fusionNamed("weighted:1") })).toEqual(pictures.get("concat"));
    expect(await run({ fusion: fusionNamed("weighted:0") })).toEqual(pictures.get("none"));
  });

  test.each(["cross-attention", "spatial", "masked"])("%s: the guidance's halves one by one", async (name) => {
    const fusion = fusionNamed(name);
    const [both, each] = [await run({ fusion }), await run({ fusion, guidanceBatch: 1 })];
    expect(psnr(each, both, 255)).toBeGreaterThan(60);
  });

  test("a second garment is read, and an empty list of more garments is none", async () => {
    const alone = await run({});
    expect(await run({ moreGarments: [] })).toEqual(alone);
    for (const name of ["concat", "masked", "spatial", "cross-attention"])
      expect(await run({ ...lower, fusion: fusionNamed(name) })).not.toEqual(await run({ fusion: fusionNamed(name) }));
  });

  test("weights of a strategy's own: a note that they were not trained, loaded with the network, freed with it", async () => {
    const fusion = fusionNamed("cross-attention");
    const resident = await pipeline({ ...inputs, fusion });
    expect(resident.warnings).toContainEqual(
      expect.stringMatching(
        /^the fusion "cross-attention" runs with weights that were not trained: there is no .*fusion in /,
      ),
    );
    const other = await freshDevice();
    const offloaded = await TryOnPipeline.fromPretrained(checkpoints, {
      device: other,
      model: "dc",
      offload: "always",
    });
    for (let i = 0; i < 2; i++)
      expect((await offloaded({ ...inputs, fusion })).images[0]!.data).toEqual(resident.images[0]!.data);
    await offloaded.dispose();
    expect(other.memory.live).toBe(0);
    other.destroy();
  });

  test("a live fusion sees every pass and gives the same picture", async () => {
    let passes = 0;
    const concat = fusionNamed("concat");
    const fusion: FusionStrategy = {
      name: "watched",
      fuse: (given) => {
        const inner = concat.fuse(given);
        return {
          live: true,
          selfAttention: (block, tokens, grid) => {
            if (block.index === 0) passes++;
            return inner.selfAttention(block, tokens, grid);
          },
          dispose: () => inner.dispose?.(),
        };
      },
    };
    expect(await run({ fusion })).toEqual(await run({}));
    expect(passes).toBe(2);
  });

  test("attention maps of a run: its picture stays the same, and every block of every step is seen", async () => {
    const maps = new AttentionMaps({ points: [{ x: 0.5, y: 0.4 }] });
    const result = await pipeline({ ...inputs, ...lower, fusion: maps.watching(fusionNamed("concat")) });
    expect(result.images[0]!.data).toEqual(await run(lower));
    const readings = await maps.readings();
    expect(readings.map(({ pass, block }) => [pass, block])).toEqual([0, 1].flatMap((p) => [0, 1, 2, 3].map((b) => [p, b]))); // prettier-ignore
    for (const { grid, garments } of readings) {
      expect([grid.width, grid.height].every((size) => size === 8 || size === 4)).toBe(true);
      expect(garments).toHaveLength(2);
      for (const { share } of garments) expect(share.every((value) => value > 0 && value < 1)).toBe(true);
    }
    const sheets = attentionSheets(readings, { person: result.images[0]!, garments: result.garments });
    const names = ["share", "read", "match", "point-1"];
    expect([...sheets.keys()]).toEqual([...names, ...names.map((name) => `${name}-2`)]);
    for (const { width, height } of sheets.values()) expect([width, height]).toEqual([4 * 64, 2 * 64]);
    expect(sheets.get("read")!.data).not.toEqual(sheets.get("read-2")!.data);
  });

  test("what is no strategy is refused", async () => {
    const wrong = pipeline({ ...inputs, fusion: "concat" as unknown as FusionStrategy });
    await expect(wrong).rejects.toThrow('fusion is "concat", a strategy, which `fusionNamed` gives is needed');
  });

  test.each<[string, Partial<Record<keyof FusionStrategy, unknown>>, string]>([
    ["reads what there is not", { reads: "everything", fuse: () => selfOnly }, 'fusion "mine": reads is "everything"'],
    ["fuses to nothing", { fuse: () => undefined }, 'fusion "mine": fuse() gave no object with selfAttention()'],
    ["gives no tokens", { fuse: () => ({ selfAttention: () => undefined }) }, "fusion: selfAttention gave nothing for"],
    [
      "gives other tokens",
      { fuse: () => ({ selfAttention: (_: unknown, x: Tensor) => concat([x, x], 1) }) },
      "fusion: selfAttention gave [2, 128, 24] for tokens [2, 64, 24]",
    ],
  ])("a strategy that %s is told so", async (_, own, says) => {
    const fusion = { name: "mine", ...own } as unknown as FusionStrategy;
    await expect(run({ fusion })).rejects.toThrow(says);
  });

  test("a fusion that cannot be freed fails once, and the pipeline goes on", async () => {
    const before = await run({});
    const dispose = () => {
      throw new Error("not mine");
    };
    await run({ fusion: { name: "stuck", fuse: () => Object.assign(Object.create(selfOnly) as Fusion, { dispose }) } });
    await expect(run({})).rejects.toThrow("not mine");
    expect(await run({})).toEqual(before);
  });

  test("another garment without its category, and a point outside the picture, are refused", async () => {
    const moreGarments = [{ garment: inputs.garment }] as unknown as NonNullable<TryOnInputs["moreGarments"]>;
    await expect(run({ moreGarments })).rejects.toThrow(
      /moreGarments\[0\]\.category is "missing": there are upperbody/,
    );
    expect(() => new AttentionMaps({ points: [{ x: 2, y: 0 }] })).toThrow(
      "AttentionMaps: point 2, 0 is outside the picture",
    );
  });
});

test("masks of several garments: white where any may go, and each one's own", () => {
  const made = (bytes: number[], pose?: GeneratedMask["pose"]) =>
    ({ mask: { width: 2, height: 2, data: Uint8Array.from(bytes) }, pose }) as GeneratedMask;
  const [upper, lower] = [made([255, 255, 0, 0], []), made([0, 255, 255, 0])];
  const united = unitedMasks([lower, upper]);
  expect([...united.mask.data]).toEqual([255, 255, 255, 0]);
  expect(united.regions).toEqual([lower.mask, upper.mask]);
  expect(united.pose).toBe(upper.pose);
  expect(unitedMasks([upper, upper])).toBe(upper);
});
