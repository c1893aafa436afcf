import { describe, expect, test, vi } from "vitest";
import { memory } from "../../src/cli/memory.ts";
import { planTryOn, TYPICAL_GPU, type MemoryQuestion, type TryOnMemory } from "../../src/pipelines/memory.ts";

const GIGA = 1e9;
const usual: MemoryQuestion = {
  ...{ width: 768, height: 1024, samples: 1, dtype: "f16", guided: true, guidanceBatch: 2 },
};
const plans = new Map<string, TryOnMemory>();
function plan(changes: Partial<MemoryQuestion> = {}): TryOnMemory {
  const key = JSON.stringify(changes);
  const made = plans.get(key) ?? planTryOn(TYPICAL_GPU, { ...usual, ...changes });
  plans.set(key, made);
  return made;
}
const phase = (of: TryOnMemory, name: string) => of.phases.find((found) => found.phase === name)!;

describe("what a try-on takes of a GPU's memory", () => {
  test("768x1024 in half precision fits into 8 GB, 384x512 into 6 GB, with every network on the device", () => {
    expect(plan().peak.resident).toBeLessThan(8 * GIGA);
    expect(plan({ width: 384, height: 512 }).peak.resident).toBeLessThan(6 * GIGA);
  });

  test("weights are those of Stable Diffusion 1.5 and CLIP ViT-L/14", () => {
    const { weights, phases } = plan();
    const parameters = 83_653_863 + 123_060_480 + 303_966_208 + 859_520_964 + 859_532_484;
    expect(weights / (2 * parameters)).toBeGreaterThan(0.99);
    expect(weights / (2 * parameters)).toBeLessThan(1.01);
    expect(phases.map((found) => found.phase)).toEqual(["encode", "clip", "garment", "project", "denoise", "decode"]);
  });

  test.each(["encode", "garment", "denoise", "decode"])("%s: at most 1.1 times what is alive at once", (name) => {
    for (const samples of [1, 4]) {
      const { activations, bound } = phase(plan({ samples }), name);
      expect(activations).toBeGreaterThanOrEqual(bound);
      expect(activations / bound).toBeLessThanOrEqual(1.1);
    }
  });

  test("the same of the guidance's halves one by one, and without guidance", () => {
    for (const changes of [{ guidanceBatch: 1 }, { guided: false }] as const)
      for (const { activations, bound, phase } of plan(changes).phases)
        if (phase !== "clip") expect(activations).toBeLessThanOrEqual(1.1 * bound); // 3 MB, not searched for long
  });

  test("one network at a time takes less, and so do the guidance's halves one by one", () => {
    const both = plan();
    expect(both.peak.offloaded).toBeLessThan(both.peak.resident / 2);
    const [one, two] = [phase(plan({ guidanceBatch: 1 }), "denoise"), phase(both, "denoise")];
    expect(one.activations).toBeLessThan(0.6 * two.activations);
    expect(phase(plan({ guided: false }), "denoise").held).toBeLessThan(0.6 * two.held);
  });

  test("a further garment's keys and values are counted", () => {
    const held = (garments: number) => phase(plan({ width: 256, height: 256, garments }), "denoise").held;
    const tokens = 5 * (1024 * 320 + 256 * 640 + 64 * 1280) + 16 * 1280;
    expect((held(2) - held(1)) / (2 * 2 * 2 * tokens)).toBeCloseTo(1, 2); // halves, keys and values, bytes
  });
});

describe("toile doctor --memory", () => {
  const run = async (asked: string[], options: object) => {
    let out = "";
    const write = vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
      out += String(chunk);
      return true;
    });
    try {
      await memory(asked, { samples: "1", dtype: "f16", guidanceBatch: "2", ...options });
    } finally {
      write.mockRestore();
    }
    return out;
  };

  test("prints weights and activations of each phase, and both peaks", async () => {
    const text = await run(["hd", "384x512"], {});
    expect(text).toMatch(/^hd 384x512, 1 sample, f16, both halves of the guidance in one batch\nplanned for /);
    for (const name of ["CLIP", "VAE encode", "garment UNet", "try-on UNet step", "VAE decode"])
      expect(text).toMatch(new RegExp(`^${name} .* MiB .* MiB .* MiB .* MiB +\\d\\.\\d\\d$`, "m"));
    expect(text).toMatch(/^peak with --offload never +[\d,]+ MiB$/m);
    const { peak, phases } = JSON.parse(await run(["dc", "384x512"], { json: true })) as TryOnMemory;
    expect(peak.offloaded).toBeLessThan(peak.resident);
    expect(phases).toHaveLength(6);
  });

  test.each([
    [["hd"], {}, '--memory "hd" is not hd or dc and a size'],
    [["xl", "384x512"], {}, "is not hd or dc"],
    [["hd", "384x500"], {}, "height 500 is not a multiple of 8"],
    [["hd", "384x512"], { dtype: "f64" }, '--dtype "f64" is not one of auto, f32, f16'],
  ])("%j %j is refused", async (asked, options, message) => {
    await expect(run(asked, options)).rejects.toThrow(message);
  });
});
