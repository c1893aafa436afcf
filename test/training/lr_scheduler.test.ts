import { describe, expect, test } from "vitest";
import { lrFactor, type LRSchedulerName } from "../../src/training/lr_scheduler.ts";
import { LossScaler } from "../../src/training/loss_scaler.ts";

const options = { warmupSteps: 10, totalSteps: 110, learningRate: 1e-3, cycles: 2, power: 2 };

describe("learning rates", () => {
  // by diffusers' formulas at steps 0, 5, 10, 60, 85, 110, 120
  test.for<[LRSchedulerName, number[]]>([
    ["constant", [1, 1, 1, 1, 1, 1, 1]],
    ["constant_with_warmup", [0, 0.5, 1, 1, 1, 1, 1]],
    ["linear", [0, 0.5, 1, 0.5, 0.25, 0, 0]],
    ["cosine", [0, 0.5, 1, 0.5, 0.5 * (1 + Math.cos(0.75 * Math.PI)), 0, 0.5 * (1 + Math.cos(1.1 * Math.PI))]],
    ["cosine_with_restarts", [0, 0.5, 1, 1, 0.5, 0, 0]],
    ["polynomial", [0, 0.5, 1, (1e-3 - 1e-7) * 250 + 1e-4, (1e-3 - 1e-7) * 62.5 + 1e-4, 1e-4, 1e-4]],
  ])("%s", ([name, expected]) => {
    const found = [0, 5, 10, 60, 85, 110, 120].map((step) => lrFactor(name, step, options));
    for (const [i, factor] of found.entries()) expect(factor).toBeCloseTo(expected[i]!, 12);
  });

  test("an unknown name is refused", () => {
    expect(() => lrFactor("steps" as LRSchedulerName, 0, options)).toThrow("lrFactor: no schedule named steps");
  });
});

describe("loss scale", () => {
  test("halves at an overflow, doubles after 2000 good steps, goes on where it stopped", () => {
    const scaler = new LossScaler("f16");
    scaler.update(false);
    expect(scaler.scale).toBe(32768);
    for (let i = 0; i < 1999; i++) scaler.update(true);
    const resumed = new LossScaler("f16");
    resumed.restore(scaler.state);
    resumed.update(true);
    expect([scaler.scale, resumed.scale]).toEqual([32768, 65536]);
  });

  test("float32 needs none", () => {
    const scaler = new LossScaler("f32");
    scaler.update(false);
    expect(scaler.scale).toBe(1);
  });
});
