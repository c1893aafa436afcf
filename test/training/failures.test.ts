import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type * as promises from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test, vi } from "vitest";
import { chain } from "../../src/nn/chain.ts";
import { Linear } from "../../src/nn/linear.ts";
import { Module } from "../../src/nn/module.ts";
import { requestDevice } from "../../src/node/device.ts";
import { outputFolder } from "../../src/node/staging.ts";
import { mean, mseLoss, mul, sub } from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { EMAModel } from "../../src/training/ema.ts";
import { initialize } from "../../src/nn/init.ts";
import { resume, runTraining, type TrainingRun } from "../../src/training/loop.ts";
import { Masters } from "../../src/training/masters.ts";
import { Trainer, type StepReport } from "../../src/training/trainer.ts";
import { InputError } from "../../src/util/errors.ts";
import { normal } from "../helpers.ts";

/** Bytes that the disk still takes; beyond them it is full. */
const disk = vi.hoisted(() => ({ left: Infinity }));

vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof promises>();
  const take = (bytes: number) => {
    disk.left -= bytes;
    if (disk.left < 0) throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  };
  return {
    ...real,
    open: async (...args: Parameters<typeof real.open>) => {
      const handle = await real.open(...args);
      const write = handle.write.bind(handle) as (...args: unknown[]) => Promise<unknown>;
      const checked = async (data: Uint8Array, at: number, length: number) => {
        take(length);
        return write(data, at, length);
      };
      return Object.assign(handle, { write: checked as unknown as promises.FileHandle["write"] });
    },
    appendFile: async (...args: Parameters<typeof real.appendFile>) => {
      take((args[1] as string).length);
      return real.appendFile(...args);
    },
  };
});

class Net extends Module {
  readonly first: Linear;
  readonly second = new Linear(5, 5);
  readonly third = new Linear(5, 2);

  constructor(inputs = 3) {
    super();
    this.first = new Linear(inputs, 5);
  }

  forward(x: Tensor): Tensor {
    return chain(
      x,
      [this.first, this.second, this.third].map((layer) => (h: Tensor) => layer.forward(h, { activation: "silu" })),
    );
  }
}

const gpu = await requestDevice();
const folder = mkdtempSync(join(tmpdir(), "toile-failures-"));
beforeEach(() => rmSync(folder, { recursive: true, force: true }));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  gpu.destroy();
});

interface Setup extends TrainingRun {
  readonly net: Net;
  readonly masters: Masters;
  readonly reports: StepReport[];
  readonly written: string[];
}

/** A training of a small network; `spoil` may change what batch n is. */
async function setup(
  spoil: (batch: number, loss: () => Tensor) => () => Tensor,
  inputs = 3,
  ema = false,
): Promise<Setup> {
  const net = new Net(inputs);
  initialize(gpu, net, 1);
  const network = { folder: "net", module: net, config: {} };
  const masters = await Masters.of([network]);
  const averages = ema ? new EMAModel(gpu, masters.tensors) : undefined;
  const trainer = new Trainer(masters, { learningRate: 1e-2, maxTrainSteps: 30, networks: [network] }, averages);
  const [reports, written]: [StepReport[], string[]] = [[], []];
  return {
    ...{ net, masters, trainer, reports, written, output: outputFolder(folder) },
    state: { networks: [network], masters, optimizer: trainer.optimizer, ema: averages },
    options: { gradientAccumulationSteps: 1, maxTrainSteps: 30, checkpointingSteps: 8 },
    prepare: async (batch) =>
      spoil(batch, () => {
        const x = Tensor.from(gpu, normal(batch, 4 * inputs), [4, inputs]);
        return mseLoss(net.forward(x), Tensor.from(gpu, normal(100 + batch, 8), [4, 2]));
      }),
    onStep: (report) => void reports.push(report),
    onCheckpoint: (name) => void written.push(name),
  };
}

const plain = (_: number, loss: () => Tensor) => loss;
const weights = async ({ masters }: Setup) => Promise.all([...masters.tensors.values()].map((tensor) => tensor.data()));
const folders = () => readdirSync(folder).sort();
const failure = async (run: TrainingRun) =>
  runTraining(run).then(
    () => "none",
    (error: Error) => error.message,
  );

describe("a loss that is no number", () => {
  test("is passed over and counted, and training goes on", async () => {
    const run = await setup((batch, loss) => (batch % 3 === 1 ? () => mul(loss(), NaN) : loss));
    await runTraining(run);
    expect(run.trainer.skippedSteps).toBe(10);
    expect(run.reports.filter(({ skipped }) => skipped !== undefined).map(({ step }) => step)).toEqual(
      Array.from({ length: 10 }, (_, i) => 3 * i + 2),
    );
    expect(run.reports[1]!.skipped).toBe("the loss is NaN");
    for (const values of await weights(run)) expect(values.every(Number.isFinite)).toBe(true);
  });

  test("ten in a row end the run, with the layer's name; what was trained is kept", async () => {
    const run = await setup(plain);
    const broken = "net.second.weight";
    let before: Float32Array[] = [];
    const spoilt = {
      ...run,
      prepare: async (batch: number) => {
        if (batch === 5) {
          before = await weights(run);
          run.masters.set(
            broken,
            before[2]!.map((value, i) => (i === 7 ? NaN : value)),
          );
        }
        return run.prepare(batch);
      },
    };
    expect(await failure(spoilt)).toBe(
      "train: 10 steps in a row could not be taken, the last one because the loss is NaN; " +
        "the first layer whose output is not finite is net.second",
    );
    expect([...run.masters.tensors.keys()][2]).toBe(broken);
    const after = await weights(run);
    for (const [i, values] of before.entries()) if (i !== 2) expect(after[i]).toEqual(values);
    expect([run.trainer.step, run.written, folders()]).toEqual([
      15,
      ["checkpoint-8", "checkpoint-15"],
      ["checkpoint-15", "checkpoint-8"],
    ]);
  });

  test("where only gradients overflow, the layer nearest to the loss is named", async () => {
    const run = await setup(plain);
    const x = Tensor.from(gpu, normal(3, 12), [4, 3]).keep();
    const y = await gpu.scope(() => run.net.forward(x).keep()).data();
    const loss = () => {
      const zero = sub(run.net.forward(x), Tensor.from(gpu, y, [4, 2]));
      return mean(mul(mul(zero, 1e30), 1e30));
    };
    expect(await failure({ ...run, prepare: async () => loss })).toBe(
      "train: 10 steps in a row could not be taken, the last one because the gradient of net.first.weight is not " +
        "finite; every layer's output is finite; on the way back the first gradient that is not is that of net.third",
    );
    x.dispose();
  });
});

describe("a pair that cannot be read", () => {
  test("ends the run, which goes on to the same bits once it is mended", async () => {
    const whole = await setup(plain);
    await runTraining(whole);
    rmSync(folder, { recursive: true, force: true });
    const torn = await setup(plain);
    const prepare = async (batch: number) => {
      if (batch === 11) throw new InputError("set/image/7.jpg", "cannot be decoded");
      return torn.prepare(batch);
    };
    expect(await failure({ ...torn, prepare })).toBe("set/image/7.jpg: cannot be decoded");
    expect(folders()).toEqual(["checkpoint-11", "checkpoint-8"]);
    const mended = await setup(plain);
    expect(await resume(mended, "latest")).toBe("checkpoint-11");
    await runTraining(mended);
    expect(await weights(mended)).toEqual(await weights(whole));
  });
});

describe("a full disk", () => {
  test.for([0, 1, 300, 1500])(
    "that takes %d more bytes: says so, and leaves the last checkpoint alone",
    async (left) => {
      const run = await setup(plain);
      const onStep = ({ step }: StepReport) => void (disk.left = step === 12 ? left : disk.left);
      const says = await failure({ ...run, onStep }).finally(() => (disk.left = Infinity));
      expect(says).toMatch(/checkpoint-16\.tmp\/.*: no space is left on the disk$/);
      expect(folders()).toEqual(["checkpoint-8"]);
      const again = await setup(plain);
      expect(await resume(again, "latest")).toBe("checkpoint-8");
    },
  );

  test("of logs, too", async () => {
    disk.left = 3;
    await expect(outputFolder(folder).append("logs/metrics.jsonl", "12345")).rejects.toThrow(
      /metrics\.jsonl: no space is left on the disk$/,
    );
    disk.left = Infinity;
  });
});

describe("a checkpoint of something else", () => {
  test("of other shapes: both are named, and nothing is filled", async () => {
    await runTraining({ ...(await setup(plain)) });
    const wider = await setup(plain, 4);
    const before = await weights(wider);
    await expect(resume(wider, "latest")).rejects.toThrow(
      /first\.weight is F32 \[5, 3\] in .*checkpoint-30.*, F32 \[5, 4\] is needed/,
    );
    expect(await weights(wider)).toEqual(before);
  });

  test("of another training, or one without averages", async () => {
    const run = await setup(plain);
    await runTraining(run);
    const [network] = run.state.networks;
    const other = { ...run, state: { ...run.state, networks: [{ ...network!, folder: "vae" }] } };
    await expect(resume(other, "latest")).rejects.toThrow(
      /checkpoint-30: there is no vae in it: it is of another training/,
    );
    await expect(resume(await setup(plain, 3, true), "latest")).rejects.toThrow(
      /checkpoint-30: there is no net_ema in it: it was trained without moving averages/,
    );
  });

  test("a foreign folder of that name is passed over, or refused by name, and not touched", async () => {
    const run = await setup(plain);
    mkdirSync(join(folder, "checkpoint-1/unet"), { recursive: true });
    await runTraining({ ...run, options: { ...run.options, checkpointsTotalLimit: 1 } });
    expect(folders()).toEqual(["checkpoint-1", "checkpoint-30"]);
    const foreign = join(folder, "checkpoint-99");
    for (const manifest of ["no json", "{}", '{"sha256": 3}']) {
      rmSync(foreign, { recursive: true, force: true });
      await run.output.write("checkpoint-99/manifest.json", new TextEncoder().encode(manifest));
      writeFileSync(join(foreign, "notes.txt"), "mine");
      expect(await resume(run, "latest")).toBe("checkpoint-30");
      await expect(resume(run, "checkpoint-99")).rejects.toThrow("manifest.json is not one of a training");
      expect(readFileSync(join(foreign, "notes.txt"), "utf8")).toBe("mine");
    }
    expect(existsSync(foreign)).toBe(true);
  });
});
