import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeF16 } from "../../src/util/float16.ts";
import { openSafetensors } from "../../src/checkpoint/safetensors.ts";
import { fileSource } from "../../src/node/files.ts";
import { root, toile, tryOnArgs } from "./run.ts";

const UNET = {
  block_out_channels: [8, 16],
  down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
  up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
  ...{ layers_per_block: 1, attention_head_dim: 2, cross_attention_dim: 32, norm_num_groups: 4 },
};
const base = join(root, "weights");
const PUBLISHED = "ootd/ootd_hd/checkpoint-36000";
const WEIGHTS = "diffusion_pytorch_model.safetensors";

let folder: string;
let checkpoint: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "toile-test-"));
  checkpoint = join(folder, "run/checkpoint-1");
  const config = join(folder, "unet.json");
  writeFileSync(config, JSON.stringify(UNET));
  const small = ["--drawn", "1", "--width", "64", "--height", "64", "--train_batch_size", "1"];
  const more = ["--unet_config", config, "--output_dir", join(folder, "run"), "--max_train_steps", "1", "--use_ema"];
  expect(toile(["train", ...small, ...more, "--pretrained_model_name_or_path", base]).code).toBe(0);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const picture = (out: string) => readFileSync(join(out, "out_hd_0.png"));

/** A try-on's picture, or what it says. */
function dressed(name: string, changes: Readonly<Record<string, string | true>>): Buffer | string {
  const out = join(folder, name);
  const ran = toile(tryOnArgs(out, { checkpoints: base, ...changes }));
  return ran.code === 0 ? picture(out) : ran.err;
}

describe("toile try-on with a training's checkpoint", () => {
  test("--unets gives the picture of the same UNets in the published layout, --ema that of the averages", () => {
    for (const [name, ema] of Object.entries({ unet: false, unet_ema: true })) {
      const whole = join(folder, name);
      cpSync(base, whole, { recursive: true });
      for (const unet of ["unet_garm", "unet_vton"]) {
        rmSync(join(whole, PUBLISHED, unet), { recursive: true });
        cpSync(join(checkpoint, `${unet}${ema ? "_ema" : ""}`), join(whole, PUBLISHED, unet), { recursive: true });
      }
      const found = dressed(`${name}_out`, { unets: checkpoint, ...(ema && { ema }) });
      expect(found).toEqual(dressed(`${name}_whole`, { checkpoints: whole }));
      expect(found).toBeInstanceOf(Buffer);
    }
  });

  test("says what is missing or does not fit", () => {
    const refused = (unets: string, more: Readonly<Record<string, string | true>> = {}) =>
      dressed("refused", { unets, ...more });
    expect(refused(join(folder, "none"))).toMatch(/none: no such folder of trained UNets\n$/);
    expect(refused(join(folder, "run"))).toMatch(/run: no trained UNets: it should hold unet_garm and unet_vton\n$/);
    const broken = join(folder, "broken");
    cpSync(checkpoint, broken, { recursive: true });
    rmSync(join(broken, "unet_garm_ema"), { recursive: true });
    expect(refused(broken, { ema: true })).toMatch(/broken: unet_garm_ema\/config.json is missing\n$/);
    const change = (name: string, fields: object) =>
      writeFileSync(
        join(broken, name, "config.json"),
        JSON.stringify({ ...UNET, in_channels: 8, out_channels: 8, ...fields }),
      );
    change("unet_garm", { cross_attention_dim: 48 });
    expect(refused(broken)).toMatch(
      /unet_garm\/config.json has cross_attention_dim 48, the text encoder's width is 32/,
    );
    change("unet_garm", {});
    cpSync(join(checkpoint, "unet_vton", WEIGHTS), join(broken, "unet_garm", WEIGHTS));
    expect(refused(broken)).toMatch(
      /unet_garm: 0 missing, 0 unexpected, 1 of another shape in .*: file \[8, 16, 3, 3\], model \[8, 8, 3, 3\]/,
    );
    change("unet_garm", { block_out_channels: [16, 16] });
    expect(refused(broken)).toMatch(/unet_vton\/config.json has transformer blocks of widths 8.*unet_garm have 16/);
  });
});

describe("toile evaluate-drawn", () => {
  const run = (out: string, ...more: string[]) =>
    toile(["evaluate-drawn", "--width", "64", "--height", "96", "--steps", "2", "--out", out, ...more]);

  test("measures a training's UNets, and the true pictures beside them", () => {
    const out = join(folder, "drawn");
    const ran = run(out, "--pairs", "2", "--control", "1", "--unets", checkpoint, "--json");
    expect(ran.code).toBe(0);
    const report = JSON.parse(ran.out);
    expect(report).toEqual(JSON.parse(readFileSync(join(out, "metrics.json"), "utf8")));
    expect(report.truth).toMatchObject({ pairs: 2, errorRatio: 0, sleeveShare: 1, colourShare: 1 });
    expect(report).toMatchObject({ result: { pairs: 2 }, control: { pairs: 1 }, settings: { steps: 2, scale: 1 } });
    expect(report.result.errorRatio).toBeGreaterThan(0.5); // a step of training dresses nobody
    expect(report.control.error).not.toBe(report.result.error);
    expect(readdirSync(out).sort()).toEqual(["metrics.json", "pictures.png"]);
  });

  test("bad arguments", () => {
    const out = join(folder, "none");
    expect(run(out, "--control", "3", "--pairs", "2").err).toBe('toile: --control "3" is more than --pairs\n');
    expect(run(out, "--unets", join(folder, "nowhere")).err).toMatch(/no such folder of trained UNets\n$/);
  });
});

const SCRIPT = join(root, "scripts/make-default-model.mjs");
const assemble = (...args: string[]) => execFileSync(process.execPath, [SCRIPT, ...args], { stdio: "pipe" }).toString();
const complaint = (...args: string[]) =>
  spawnSync(process.execPath, [SCRIPT, ...args], { encoding: "utf8" }).stderr.trim();

describe("make-default-model", () => {
  test("puts a training's UNets, as float16, into the published layout, with a manifest", async () => {
    const out = join(folder, "default");
    assemble("--out", out, "--hd", checkpoint, "--ema", "--command", "toile train");
    const manifest = JSON.parse(readFileSync(join(out, "manifest.json"), "utf8"));
    expect(manifest).toMatchObject({ trained: ["hd"], training: ["toile train"] });
    const sizes = manifest.files.map(({ bytes }: { bytes: number }) => bytes);
    expect(sizes.reduce((a: number, b: number) => a + b)).toBe(manifest.bytes);
    const [from, to] = [join(checkpoint, "unet_vton_ema"), join(out, PUBLISHED, "unet_vton")];
    const [float, half] = [
      await openSafetensors(await fileSource(join(from, WEIGHTS))),
      await openSafetensors(await fileSource(join(to, WEIGHTS))),
    ];
    expect([...half.tensors.keys()].sort()).toEqual([...float.tensors.keys()].sort());
    for (const { name, dtype } of half.tensors.values()) {
      const exact = new Float32Array((await float.read(name)).buffer);
      expect([dtype, new Uint16Array((await half.read(name)).buffer)]).toEqual(["F16", encodeF16(exact)]);
    }
    for (const source of [float, half]) await source.close();
    expect(dressed("default_out", { checkpoints: out })).toBeInstanceOf(Buffer);
  });

  test("writes nothing where something is wrong", () => {
    const out = join(folder, "wrong");
    expect(complaint("--out", out, "--limit", "1")).toMatch(/bytes together, 1 MB are allowed$/);
    expect(complaint("--out", out, "--hd", folder)).toMatch(/unet_garm: there is no config.json in it$/);
    cpSync(checkpoint, join(folder, "half"), { recursive: true });
    rmSync(join(folder, "half/unet_vton"), { recursive: true });
    expect(complaint("--out", out, "--hd", join(folder, "half"))).toMatch(/unet_vton: there is no config.json in it$/);
    expect(readdirSync(folder).filter((name) => name.startsWith("wrong"))).toEqual([]);
  });
});
