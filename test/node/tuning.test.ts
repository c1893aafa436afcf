import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { kernelForms } from "../../src/cli/doctor.ts";
import { tune } from "../../src/cli/tune.ts";
import { Device } from "../../src/gpu/device.ts";
import { gemmCandidates, planGemm, type GemmProblem } from "../../src/kernels/gemm_plan.ts";
import { isUsable, problemOf, timeCandidates } from "../../src/kernels/tuning.ts";
import { requestDevice } from "../../src/node/device.ts";
import type { MemoryQuestion } from "../../src/pipelines/memory.ts";
import { unetProblems } from "../../src/pipelines/tuning.ts";
import * as ops from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { readTuning, tuningPath, writeTuning } from "../../src/node/tuning.ts";
import { KernelError } from "../../src/util/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "tuning-"));
const before = process.env["XDG_CACHE_HOME"];
let device: Device;
beforeAll(async () => {
  process.env["XDG_CACHE_HOME"] = folder;
  device = await requestDevice();
});
afterAll(() => {
  if (before === undefined) delete process.env["XDG_CACHE_HOME"];
  else process.env["XDG_CACHE_HOME"] = before;
  rmSync(folder, { recursive: true });
});

const KEY = "gemm f32 1x64x320x320x1";
const QUESTION: MemoryQuestion = {
  ...{ width: 128, height: 192, samples: 1, dtype: "f32", guided: true, guidanceBatch: 2 },
};
const PLANS = { [KEY]: "tiled-32x32/2", "attention f32 40": "tiled" };

describe("a table of measured choices", () => {
  const said: string[] = [];
  const read = () => readTuning(device.facts, (line) => said.push(line));
  beforeEach(() => void (said.length = 0));

  test("comes back as it was written, with what an earlier one held", async () => {
    expect(read()).toEqual({});
    await writeTuning(device.facts, { "attention f32 40": "plain" });
    await writeTuning(device.facts, PLANS);
    expect(read()).toEqual(PLANS);
    expect(said).toEqual([]);
  });

  test("is another one for another driver", () => {
    expect(tuningPath({ ...device.facts, description: "another" })).not.toBe(tuningPath(device.facts));
  });

  test("is ignored with one line when it is corrupt or foreign", async () => {
    const path = await writeTuning(device.facts, PLANS);
    const whole = readFileSync(path, "utf8");
    for (const [text, reason] of [
      [whole.slice(0, -20), "it is not JSON"],
      ["null", "it holds no plans"],
      ["[]", "it holds no plans"],
      [whole.replace(/"dawn": "/, '"dawn": "9'), "it was measured on another device or version"],
    ] as const) {
      writeFileSync(path, text);
      said.length = 0;
      expect(read()).toEqual({});
      expect(said).toEqual([`${path} is ignored: ${reason}`]);
    }
  });

  test("loses the lines that name what the device cannot do, and says how many", async () => {
    const wrong = { "gemm f32 1x1x4x4x1": "sparse", "gemm f32 1x4": "tiled", "attention f64 40": "tiled" };
    const path = await writeTuning(device.facts, { ...PLANS, ...wrong });
    expect(read()).toEqual(PLANS);
    expect(said).toEqual([`${path}: 3 of 5 lines are ignored: no such variant here`]);
  });

  test("that is ignored is told of in one line when a device is asked for", async () => {
    const path = await writeTuning(device.facts, PLANS);
    writeFileSync(path, "null");
    const warn = vi.spyOn(process.stderr, "write").mockImplementation(() => true);
    const other = await requestDevice({ tune: "lazy" });
    expect(warn.mock.calls).toEqual([[`toile: ${path} is ignored: it holds no plans\n`]]);
    warn.mockRestore();
    other.destroy();
  });

  test("is what toile doctor shows", () => {
    const facts = { ...device.facts, f16: false };
    expect(kernelForms({ facts, variants: {} })).toMatchObject({ attention: "subgroup" });
    const variants = { "gemm f32 1x1536x1280x1280x9": "tiled-32x32/2", "attention f32 40": "tiled" };
    expect(kernelForms({ facts, variants })).toMatchObject({
      "matrix product, convolution": "subgroup, tiled",
      attention: "tiled, subgroup",
    });
  });

  test("decides what a device runs", async () => {
    const tuned = await requestDevice({ tuned: () => PLANS });
    expect(tuned.variants).toEqual(PLANS);
    const problem = unetProblems(tuned.facts, QUESTION).find(({ key }) => key.startsWith("attention f32 40"))!;
    const used: string[] = [];
    const run = tuned.run.bind(tuned);
    tuned.run = (kernel, dispatch) => {
      used.push(kernel.name);
      run(kernel, dispatch);
    };
    problem.record(tuned);
    await tuned.flush();
    expect(used).toEqual(["attention_tiled"]);
    tuned.destroy();
  });
});

describe("tuning on first use", () => {
  const key = "gemm f32 1x1x8x12x1";
  const multiply = (on: Device) =>
    on.scope(() => void ops.linear(Tensor.empty(on, [1, 12]), Tensor.empty(on, [8, 12])));
  const forget = () => rmSync(tuningPath(device.facts), { recursive: true, force: true });
  beforeEach(forget);

  test("times what is met at the next flush, runs the fastest from then on, and keeps it for the next device", async () => {
    const fresh = await requestDevice({ tune: "lazy" });
    multiply(fresh);
    expect(fresh.variants).toEqual({});
    await fresh.flush();
    const chosen = fresh.variants[key]!;
    expect(isUsable(fresh.facts, key, chosen)).toBe(true);
    expect(readTuning(fresh.facts, () => {})).toEqual({ [key]: chosen });
    const choose = vi.spyOn(fresh, "choose");
    multiply(fresh);
    await fresh.flush();
    expect(choose).not.toHaveBeenCalled(); // measured once
    expect(fresh.memory.live).toBe(0);
    const [next, plain] = [await requestDevice({ tune: "lazy" }), await requestDevice()];
    expect(next.variants).toEqual({ [key]: chosen });
    expect(plain.variants).toEqual({});
    for (const one of [fresh, next, plain]) one.destroy();
  });

  test("times convolutions as they are, and what fails keeps its form", async () => {
    const warn = vi.spyOn(process.stderr, "write").mockImplementation(() => true);
    const fresh = await requestDevice({ tune: "lazy" });
    const conv = (height: number, width: number) =>
      fresh.scope(() => {
        const weight = ops.packWeight(Tensor.zeros(fresh, [8, 8, height, width]));
        ops.conv2d(Tensor.zeros(fresh, [1, 6, 5, 8]), weight, { stride: 2, padding: 1 });
      });
    for (const [height, width] of [
      [1, 3],
      [2, 2],
      [3, 3],
    ] as const)
      conv(height, width);
    await fresh.flush();
    expect(Object.keys(fresh.variants)).toHaveLength(3);
    expect(warn).not.toHaveBeenCalled();
    conv(2, 3);
    vi.spyOn(fresh, "choose").mockImplementationOnce(() => {
      throw new KernelError("gemm", "no such form");
    });
    await fresh.flush();
    await fresh.flush();
    expect(warn).toHaveBeenCalledOnce();
    warn.mockRestore();
    fresh.destroy();
    forget();
  });

  test("leaves alone what is forced, and works where its table cannot be written", async () => {
    mkdirSync(tuningPath(device.facts), { recursive: true }); // a folder where the table would lie
    const warn = vi.spyOn(process.stderr, "write").mockImplementation(() => true);
    const forced = await requestDevice({ tune: "lazy", variants: { attention: "plain" } });
    const choose = vi.spyOn(forced, "choose");
    try {
      multiply(forced);
      forced.scope(() => {
        const q = Tensor.empty(forced, [1, 2, 8]);
        ops.scaledDotProductAttention(q, q, q, { heads: 2 });
      });
      await forced.flush();
      expect(choose.mock.calls.map(([problem]) => problem)).toEqual([key]);
      expect(warn).toHaveBeenCalledOnce();
    } finally {
      warn.mockRestore();
      forced.destroy();
      forget();
    }
  });
});

test("every candidate of a problem is timed, the fastest first", async () => {
  const problem = unetProblems(device.facts, QUESTION).find(({ key }) => key === "gemm f32 1x12x1280x1280x1")!;
  expect(problem.candidates.length).toBeGreaterThan(2);
  const few = { ...problem, candidates: problem.candidates.slice(0, 2) };
  const used: Device[] = [];
  const force = (gemm: string) => {
    used.push(new Device(device.gpu, device.facts, { variants: { gemm } }));
    return used.at(-1)!;
  };
  const timings = await timeCandidates(force, few, () => {});
  expect(used.map(({ memory }) => memory.pooled)).toEqual([0, 0]); // nothing of theirs stays on the GPU
  expect(() => used[0]!.alloc(16)).toThrow("device: destroyed");
  expect(() => device.alloc(16)).not.toThrow();
  expect(timings.map(({ name }) => name).sort()).toEqual([...few.candidates].sort());
  expect(timings[0]!.milliseconds).toBeLessThanOrEqual(timings[1]!.milliseconds);
  expect(timings[0]!.milliseconds).toBeGreaterThan(0);
});

test("what is tuned is all that a step of the UNets meets, concatenations and appended tokens included", () => {
  const keys = (changes: Partial<MemoryQuestion>) =>
    unetProblems(device.facts, { ...QUESTION, ...changes }).map((problem) => problem.key);
  const both = keys({});
  for (const sizes of ["1x12x1280x2560x9", "1x768x640x640x9", "2x384x320x320x1", "1x768x2560x320x1", "1x3x320x768x1"])
    expect(both).toContain(`gemm f32 ${sizes}`);
  expect(both.filter((key) => key.startsWith("attention"))).toEqual([40, 80, 160].map((dim) => `attention f32 ${dim}`));
  expect(new Set(both).size).toBe(both.length);
  expect(keys({ guidanceBatch: 1 })).toContain("gemm f32 1x384x640x640x9"); // one half at a time
});

test("a candidate that fails is left out and told of, and leaves nothing on the GPU", async () => {
  const problem = unetProblems(device.facts, QUESTION).find(({ key }) => key === "gemm f32 1x12x1280x1280x1")!;
  const used: Device[] = [];
  const force = (gemm: string) => {
    used.push(new Device(device.gpu, device.facts, { variants: { gemm } }));
    return used.at(-1)!;
  };
  const said: string[] = [];
  const timed = (...candidates: string[]) =>
    timeCandidates(force, { ...problem, candidates }, (line) => said.push(line));
  expect((await timed("sparse", "tiled-32x32")).map(({ name }) => name)).toEqual(["tiled-32x32"]);
  expect(used.map(({ memory }) => memory.live)).toEqual([0, 0]);
  expect(said).toEqual([
    expect.stringMatching(/^gemm f32 1x12x1280x1280x1: sparse is left out: gemm: no variant named/),
  ]);
  await expect(timed("sparse", "dense")).rejects.toThrow("gemm: no variant named sparse");
  expect(said).toHaveLength(1);
});

test("attention is tried with a bounded number of tokens", () => {
  const work = (queries: number) =>
    problemOf(device.facts, { family: "attention", problem: { elem: "f32", headDim: 40 }, queries }).operations;
  expect([work(4096), work(12288)]).toEqual([work(4096), work(4096)]);
});

test("the command says which argument cannot be meant", async () => {
  await expect(tune({ size: "100x300", dtype: "auto" })).rejects.toThrow(
    '--size "100x300" is not a width and a height',
  );
  await expect(tune({ size: "768x1024", dtype: "f64" })).rejects.toThrow('--dtype "f64" is not one of auto, f32, f16');
  await expect(tune({ size: "768x1024", dtype: "f32", samples: "0" })).rejects.toThrow('--samples "0" is not between');
});

describe("the planner of products", () => {
  const f16 = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };
  const limits = { maxComputeWorkgroupStorageSize: 49152, maxComputeInvocationsPerWorkgroup: 1024 };
  const gpu = () => ({
    ...{ ...device.facts, isSoftware: false, f16: true, subgroupSize: 32, pinned: false },
    ...{ matrixSyntax: "layout" as const, subgroupMatrix: [f16], limits: { ...device.facts.limits, ...limits } },
  });
  const problem = (sizes: Partial<GemmProblem>): GemmProblem => ({
    ...{ elem: "f16" as const, batches: 1, m: 4096, n4: 1024, k4: 1024, taps: 1 },
    ...sizes,
  });

  test.for([
    ["a large product", {}, "matrix-128x128"],
    ["the same in f32, for which the units have no type", { elem: "f32" }, "tiled-128x64"],
    ["a small map with many channels", { m: 128, n4: 320, k4: 320, taps: 9 }, "matrix-32x32"],
    ["an 8 × 6 map", { m: 96, n4: 320, k4: 320, taps: 9 }, "matrix-32x32/3"],
    ["one row", { m: 1, n4: 320, k4: 320 }, "subgroup-4/5"],
  ] as const)("%s", ([, sizes, name]) => {
    expect(planGemm(gpu(), problem(sizes)).name).toBe(name);
  });

  test("units that sum in float16 are not used", () => {
    const half = { ...f16, resultComponentType: "f16" };
    expect(planGemm({ ...gpu(), subgroupMatrix: [half] }, problem({})).variant).toBe("tiled");
  });

  test("a software adapter gets tiles of one subgroup, whole", () => {
    const facts = { ...gpu(), isSoftware: true };
    expect(planGemm(facts, problem({ m: 96, taps: 9 })).name).toBe("subgroup-16");
  });

  test("candidates begin with its own choice and can all be forced", () => {
    for (const sizes of [{}, { m: 96, taps: 9 }, { m: 2 }, { elem: "f32" as const }]) {
      const names = gemmCandidates(gpu(), problem(sizes));
      expect(names[0]).toBe(planGemm(gpu(), problem(sizes)).name);
      for (const name of names) expect(planGemm(gpu(), problem(sizes), name).name).toBe(name);
      expect(new Set(names).size).toBe(names.length);
    }
  });

  test("lines of tables are checked by sizes and by name", () => {
    expect(isUsable(gpu(), "gemm f16 1x64x320x320x1", "matrix-64x64/2")).toBe(true);
    expect(isUsable(gpu(), "gemm f32 1x64x320x320x1", "matrix-64x64")).toBe(false);
    expect(isUsable(gpu(), "gemm f16 1x64x320x320x1", "matrix-64x64/x")).toBe(false);
    expect(isUsable(gpu(), "gemm f16 1x64x320x320", "tiled")).toBe(false);
  });
});
