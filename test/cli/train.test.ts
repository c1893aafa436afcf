import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { EXIT, type ExitCode } from "../../src/cli/errors.ts";
import type { Interrupt } from "../../src/cli/interrupt.ts";
import { lockFolder } from "../../src/cli/lock.ts";
import { untilInterrupted } from "../../src/cli/training.ts";
import { scratch, startToile, toile } from "./run.ts";

const UNET = {
  block_out_channels: [8, 16],
  down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
  up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
  layers_per_block: 1,
  attention_head_dim: 2,
  cross_attention_dim: 32,
  norm_num_groups: 4,
};

const VAE = {
  block_out_channels: [8, 8],
  layers_per_block: 1,
  norm_num_groups: 4,
};

const SMALL = ["--drawn", "6", "--width", "64", "--height", "64", "--train_batch_size", "2"];

function unetRun(out: string, folder: string, more: readonly string[]): string[] {
  const config = join(folder, "unet.json");
  writeFileSync(config, JSON.stringify(UNET));
  return ["train", ...SMALL, "--unet_config", config, "--output_dir", out, "--learning_rate", "1e-3", ...more];
}

const weights = (folder: string, step: number) =>
  ["unet_garm", "unet_vton", "unet_vton_ema"].map((name) =>
    readFileSync(join(folder, `checkpoint-${step}`, name, "diffusion_pytorch_model.safetensors")),
  );

const losses = (folder: string) =>
  readFileSync(join(folder, "logs/metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { step: number; loss: number }).loss);

/** Kills the command as soon as a folder is there. */
async function killAt(args: readonly string[], folder: string): Promise<void> {
  const child = startToile(args);
  const ended = once(child, "exit");
  while (!existsSync(folder) && child.exitCode === null) await wait(20);
  child.kill("SIGKILL");
  await ended;
}

const STEPS = ["--use_ema", "--max_train_steps", "6", "--gradient_accumulation_steps", "2", "--lr_scheduler", "cosine"];

describe("toile train", () => {
  test("a run that is killed and goes on gives the bits of one that is not", async () => {
    const folder = scratch();
    const [whole, killed] = [join(folder, "whole"), join(folder, "killed")];
    const one = toile(unetRun(whole, folder, [...STEPS, "--checkpointing_steps", "3", "--validation_steps", "6"]));
    expect([one.code, one.out]).toEqual([0, ""]);
    expect(readdirSync(whole).sort()).toEqual(["checkpoint-3", "checkpoint-6", "logs"]);
    expect(readdirSync(join(whole, "logs")).sort()).toEqual(["metrics.jsonl", "validation-6.png"]);
    expect(losses(whole)).toHaveLength(6);
    const other = unetRun(killed, folder, [...STEPS, "--checkpointing_steps", "2", "--checkpoints_total_limit", "1"]);
    await killAt(other, join(killed, "checkpoint-2"));
    const resumed = toile([...other, "--resume_from_checkpoint", "latest"]);
    expect([resumed.code, resumed.err]).toEqual([0, expect.stringMatching(/going on from checkpoint-[24]\n/)]);
    expect(weights(killed, 6)).toEqual(weights(whole, 6));
    const averages = JSON.parse(readFileSync(join(whole, "checkpoint-6/unet_vton_ema/config.json"), "utf8"));
    expect(averages).toMatchObject({ in_channels: 16, decay: 0.9999, optimization_step: 6, power: 2 / 3 }); // EMAModel's
    expect(readdirSync(killed).sort()).toEqual(["checkpoint-6", "logs"]);
  });

  test("going on passes over a damaged checkpoint, and the log goes on where that one was", () => {
    const folder = scratch();
    const out = join(folder, "out");
    const run = unetRun(out, folder, ["--use_ema", "--checkpointing_steps", "1", "--max_train_steps"]);
    expect(toile([...run, "3"]).code).toBe(0);
    const before = losses(out);
    writeFileSync(join(out, "checkpoint-3/optimizer.safetensors"), "cut short");
    appendFileSync(join(out, "logs/metrics.jsonl"), '{"step":4,"lo');
    const resumed = toile([...run, "3", "--resume_from_checkpoint", "latest"]);
    expect(resumed.code).toBe(0);
    expect(resumed.err).toContain("note: checkpoint-3 is passed over: optimizer.safetensors is not what its manifest");
    expect(losses(out)).toEqual(before); // each step once, and the same bits
    const lost = unetRun(out, folder, ["--max_train_steps", "4", "--resume_from_checkpoint", "latest"]);
    expect(toile(lost).err).toContain("it keeps moving averages, this run does not: they would be lost\n");
    writeFileSync(join(folder, "unet.json"), JSON.stringify({ ...UNET, norm_num_groups: 2 }));
    const other = toile([...run, "4", "--resume_from_checkpoint", "latest"]);
    expect(other.err).toContain("unet_garm/config.json: its norm_num_groups is 4, this run has 2\n");
    for (const name of ["checkpoint-1", "checkpoint-2", "checkpoint-3"])
      rmSync(join(out, name, "optimizer.safetensors"));
    const back = toile([...run, "3", "--resume_from_checkpoint", "checkpoint-1"]);
    expect([back.code, back.err]).toEqual([
      2,
      `toile: --resume_from_checkpoint: ${out} holds what came after checkpoint-1: move checkpoint-2, checkpoint-3 ` +
        'elsewhere first, or go on from "latest"\n',
    ]);
    const none = toile([...run, "4", "--resume_from_checkpoint", "latest"]);
    expect(none).toMatchObject({ code: 1, err: expect.stringContaining("optimizer.safetensors is missing\n") });
  });

  test("half precision shows pictures of the shipped model, and a folder with checkpoints is not written over", () => {
    const folder = scratch();
    const out = join(folder, "out");
    const run = ["train", ...SMALL, "--output_dir", out, "--max_train_steps", "1", "--mixed_precision", "fp16"];
    const ran = toile([...run, "--validation_steps", "1"]);
    expect([ran.code, ran.out]).toEqual([0, ""]);
    expect(readdirSync(join(out, "logs")).sort()).toEqual(["metrics.jsonl", "validation-1.png"]);
    expect(losses(out)[0]).toBeLessThan(1);
    const written = readFileSync(join(out, "checkpoint-1/manifest.json"));
    const again = toile(run);
    expect(again).toMatchObject({ code: 2, out: "" });
    expect(again.err).toBe(
      `toile: --output_dir: ${out} holds checkpoint-1 of an earlier training: go on from it with ` +
        "--resume_from_checkpoint latest, or name another folder\n",
    );
    expect(readFileSync(join(out, "checkpoint-1/manifest.json"))).toEqual(written);
    const resumed = toile([...run, "--seed", "4", "--resume_from_checkpoint", join(out, "checkpoint-1")]);
    expect(resumed.err.match(/note: (?!nothing).*/g)).toEqual(["note: seed was 0, now it is 4"]);
  });

  test("Ctrl-C ends it after a step, with a checkpoint of it", async () => {
    const folder = scratch();
    const out = join(folder, "out");
    const child = startToile(unetRun(out, folder, ["--max_train_steps", "1000", "--report_to", "jsonl"]));
    const ended = once(child, "exit");
    const said: Buffer[] = [];
    child.stderr!.on("data", (bytes: Buffer) => said.push(bytes));
    while (!existsSync(join(out, "logs/metrics.jsonl")) && child.exitCode === null) await wait(20);
    child.kill("SIGINT");
    await wait(20);
    child.kill("SIGTERM"); // as `timeout` and shells send it twice
    expect(await ended).toEqual([130, null]);
    const last = losses(out).length;
    expect(Buffer.concat(said).toString()).toMatch(`interrupted, checkpoint-${last} holds what was trained\n`);
    expect(readdirSync(out).sort()).toEqual([`checkpoint-${last}`, "logs"]);
  });

  test("TensorBoard's events, a subset of the parameters, min-SNR weights", () => {
    const folder = scratch();
    const out = join(folder, "out");
    mkdirSync(join(out, "logs"), { recursive: true });
    writeFileSync(join(out, "logs/metrics.jsonl"), "of a run whose checkpoints are gone");
    const more = ["--max_train_steps", "1", "--train", "fusion", "--snr_gamma", "5", "--report_to", "tensorboard"];
    expect(toile(unetRun(out, folder, [...more, "--cache_latents", "--gradient_checkpointing"])).code).toBe(0);
    expect(readdirSync(join(out, "logs"))).toEqual([expect.stringMatching(/^events\.out\.tfevents\./)]);
    expect(readFileSync(join(out, "logs-1/metrics.jsonl"), "utf8")).toBe("of a run whose checkpoints are gone");
    const optimizer = readFileSync(join(out, "checkpoint-1/optimizer.safetensors"));
    const header = JSON.parse(optimizer.subarray(8, 8 + Number(optimizer.readBigUInt64LE())).toString()) as object;
    const moved = Object.keys(header).filter((name) => name !== "__metadata__");
    expect(moved.length).toBeGreaterThan(10);
    expect(moved.filter((name) => !name.includes(".attn1."))).toEqual([]);
  });

  test.for<[string, string[], RegExp]>([
    ["no pairs", ["train"], /--dataset_dir or --drawn is needed/],
    ["both kinds of pairs", ["train", "--drawn", "3", "--dataset_dir", "x"], /and not both/],
    [
      "an unknown subset",
      ["train", ...SMALL, "--train", "head"],
      /--train "head" is not one of full, attention, fusion/,
    ],
    ["a rate of zero", ["train", ...SMALL, "--learning_rate", "0"], /--learning_rate "0" is not between/],
    [
      "a decay that never takes anything in",
      ["train", ...SMALL, "--adam_beta2", "1"],
      /--adam_beta2 "1" is not between 0/,
    ],
    [
      "a folder for logs elsewhere",
      ["train", ...SMALL, "--logging_dir", "../logs"],
      /is no folder inside --output_dir/,
    ],
    [
      "pairs that vary and are kept",
      ["train", ...SMALL, "--augment", "--cache_latents"],
      /--augment would vary nothing/,
    ],
    ["the held-out pairs", ["train", ...SMALL, "--drawn_seed", "2963738797"], /draws the held-out pairs/],
    ["a crop larger than the picture", ["train-vae", ...SMALL, "--crop", "128"], /--crop "128" is larger than 64x64/],
  ])("%s: exit code 2, before anything is loaded", ([, args, says]) => {
    const { code, err } = toile([...args, "--output_dir", join(scratch(), "out")]);
    expect([code, err]).toEqual([2, expect.stringMatching(says)]);
    expect(err.trim().split("\n")).toHaveLength(1);
  });

  test("a folder that is no data set; a checkpoint that is not there", () => {
    const folder = scratch();
    const out = join(folder, "out");
    const other = toile(["train", "--dataset_dir", folder, "--output_dir", out]);
    expect([other.code, other.err]).toEqual([1, expect.stringContaining("neither VITON-HD")]);
    const missing = toile(unetRun(out, folder, ["--resume_from_checkpoint", "checkpoint-9"]));
    expect([missing.code, missing.err]).toEqual([1, expect.stringContaining("checkpoint-9: manifest.json is missing")]);
    const elsewhere = toile(unetRun(out, folder, ["--resume_from_checkpoint", "/elsewhere/checkpoint-1"]));
    expect([elsewhere.code, elsewhere.err]).toEqual([2, expect.stringContaining("is no checkpoint-N of --output_dir")]);
  });
});

test("one process at a time trains into a folder; what a killed one left is taken over", async () => {
  const folder = scratch();
  const lock = join(folder, "training.lock");
  writeFileSync(lock, `${process.ppid}\n`);
  await expect(lockFolder(folder)).rejects.toThrow(
    `--output_dir: process ${process.ppid} trains into ${folder}: wait for it, or remove ${lock}`,
  );
  for (const left of ["", `${spawnSync("true").pid}\n`, `${process.pid}\n`]) {
    writeFileSync(lock, left);
    const unlock = await lockFolder(folder);
    expect(readFileSync(lock, "utf8")).toBe(`${process.pid}\n`);
    await unlock();
    expect(existsSync(lock)).toBe(false);
  }
});

test("an interrupted training says which checkpoint holds what was trained, or that nothing was written", async () => {
  const listeners = (["SIGINT", "SIGTERM"] as const).map((name) => [name, process.listeners(name)] as const);
  const said = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  for (const left of [undefined, "checkpoint-4 holds what was trained"]) {
    const work = async (interrupt: Interrupt): Promise<ExitCode> => {
      if (left !== undefined) interrupt.left = left;
      process.emit("SIGINT");
      interrupt.signal.throwIfAborted();
      return EXIT.ok;
    };
    expect(await untilInterrupted(work)).toBe(130);
    expect(said.mock.lastCall).toEqual([`toile: interrupted, ${left ?? "nothing was written"}\n`]);
  }
  said.mockRestore();
  for (const [name, known] of listeners)
    for (const listener of process.listeners(name)) if (!known.includes(listener)) process.off(name, listener);
});

test("toile train-vae: the loss falls, and what comes back of held-out pictures is measured per channel", () => {
  const folder = scratch();
  const [config, out] = [join(folder, "vae.json"), join(folder, "out")];
  writeFileSync(config, JSON.stringify(VAE));
  const steps = ["--max_train_steps", "40", "--validation_steps", "40", "--learning_rate", "3e-3"];
  const ran = toile(["train-vae", ...SMALL, ...steps, "--vae_config", config, "--crop", "64", "--output_dir", out]);
  expect([ran.code, ran.out]).toEqual([0, ""]);
  const each = losses(out);
  const mean = (part: readonly number[]) => part.reduce((a, b) => a + b) / part.length;
  expect(mean(each.slice(-10))).toBeLessThan(0.7 * mean(each.slice(0, 10)));
  const measured = JSON.parse(readFileSync(join(out, "logs/validation.jsonl"), "utf8")) as Record<string, number>;
  expect(Object.keys(measured)).toEqual(["step", "psnr", "red", "green", "blue", "latent_rms"]);
  expect(measured["psnr"]).toBeGreaterThan(5);
  expect(readdirSync(join(out, "checkpoint-40")).sort()).toEqual([
    "manifest.json",
    "optimizer.safetensors",
    "trainer_state.json",
    "vae",
  ]);
});
