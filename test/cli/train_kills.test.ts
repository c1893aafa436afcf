import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { TorchGenerator } from "../../src/util/random.ts";
import { scratch, startToile, toile } from "./run.ts";

// Twenty kills of one training, some minutes: TOILE_LONG=1 runs it.

const [KILLS, STEPS] = [20, 40];

const UNET = {
  block_out_channels: [8, 16],
  down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
  up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
  ...{ layers_per_block: 1, attention_head_dim: 2, cross_attention_dim: 32, norm_num_groups: 4 },
};

const stepsIn = (out: string): number[] =>
  existsSync(out)
    ? readdirSync(out).flatMap((name) => /^checkpoint-(\d+)$/.exec(name)?.slice(1).map(Number) ?? [])
    : [];

describe.runIf(process.env["TOILE_LONG"] === "1")("a training that is killed again and again", () => {
  test("never goes back behind its last checkpoint, and ends in the same bits", { timeout: 1_200_000 }, async () => {
    const folder = scratch();
    const config = join(folder, "unet.json");
    writeFileSync(config, JSON.stringify(UNET));
    const options =
      "--drawn 6 --width 64 --height 64 --train_batch_size 2 --use_ema --checkpoints_total_limit 2 " +
      `--max_train_steps ${STEPS} --checkpointing_steps 1 --resume_from_checkpoint latest`;
    const run = (out: string) => ["train", ...options.split(" "), "--unet_config", config, "--output_dir", out];
    const [whole, killed] = [join(folder, "whole"), join(folder, "killed")];
    const { code, ms } = toile(run(whole));
    expect(code).toBe(0);
    const moments = new TorchGenerator(1).rand([KILLS]);
    let before = 0;
    for (const moment of moments) {
      const child = startToile(run(killed));
      const ended = once(child, "exit");
      await wait(ms * (0.1 + 0.25 * moment)); // while it starts, computes, writes or prunes
      child.kill("SIGKILL");
      await ended;
      const last = Math.max(0, ...stepsIn(killed));
      expect(last).toBeGreaterThanOrEqual(before);
      before = last;
    }
    process.stdout.write(`${KILLS} kills left step ${before} of ${STEPS}\n`);
    expect(toile(run(killed)).code).toBe(0);
    const path = (out: string) => join(out, `checkpoint-${STEPS}/unet_vton/diffusion_pytorch_model.safetensors`);
    expect(readFileSync(path(killed))).toEqual(readFileSync(path(whole)));
    const steps = readFileSync(join(killed, "logs/metrics.jsonl"), "utf8").trim().split("\n");
    expect(steps.map((line) => (JSON.parse(line) as { step: number }).step)).toEqual(
      Array.from({ length: STEPS }, (_, i) => i + 1),
    );
  });
});
