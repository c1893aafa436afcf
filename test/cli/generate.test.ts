import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { readImage, readText } from "../../src/node/images.ts";
import { fixture } from "../helpers.ts";
import { writeLayout } from "../pipelines/sd_setup.ts";
import { filesIn, scratch, toile } from "./run.ts";

const checkpoint = () => writeLayout(join(scratch(), "tiny"));

const small = ["--prompt", "a chair", "--steps", "2", "--seed", "5", "--width", "64", "--height", "64", "--json"];
const pixels = async (folder: string) => (await readImage(join(folder, "generated_0.png"))).data;

describe("toile generate and toile convert", () => {
  test("a folder becomes a file and a folder again, and all three give one picture", async () => {
    const folder = checkpoint();
    const work = dirname(folder);
    const [single, again] = [join(work, "one.safetensors"), join(work, "again")];
    expect(toile(["convert", folder, single, "--json"])).toMatchObject({ code: 0, err: "" });
    const back = toile(["convert", single, again, "--tokenizer", join(folder, "tokenizer")]);
    expect(back).toMatchObject({ code: 0, err: "" });
    expect(back.out).toMatch(/: \d+ tensors\n$/);
    for (const path of ["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"]) {
      const tensors = (from: string) => {
        const file = readFileSync(join(from, `${path}.safetensors`));
        return file.subarray(8 + Number(file.readBigUInt64LE(0)));
      };
      expect(Buffer.compare(tensors(again), tensors(folder)), path).toBe(0);
    }
    const run = (checkpoints: string, name: string) => {
      const ran = toile(["generate", "--checkpoints", checkpoints, ...small, "--out", join(work, name)]);
      expect(ran).toMatchObject({ code: 0, err: "" });
      const report = JSON.parse(ran.out) as Record<string, unknown>;
      expect(report).toMatchObject({ seed: 5, width: 64, height: 64, steps: 2, scale: 7.5 });
      expect(report["images"]).toEqual([join(work, name, "generated_0.png")]);
    };
    run(folder, "a");
    run(single, "b");
    run(again, "c");
    const { toile: kept } = await readText(join(work, "c", "generated_0.png"));
    const { scheduler } = JSON.parse(kept!) as { scheduler: string };
    expect(readFileSync(join(again, "scheduler/scheduler_config.json"), "utf8")).toContain(
      `"_class_name": "${scheduler}"`,
    );
    const first = await pixels(join(work, "a"));
    expect(new Set(first).size).toBeGreaterThan(10);
    expect(await pixels(join(work, "b"))).toEqual(first);
    expect(await pixels(join(work, "c"))).toEqual(first);
  });

  test("a picture, a mask and a LoRA are used; half precision halves a file", async () => {
    const folder = checkpoint();
    const work = dirname(folder);
    const at = (name: string) => fixture(`pipeline/hd-upperbody/${name}.png`);
    const lora = `${fixture("stable_diffusion/lora_kohya.safetensors")}:0.5`;
    const image = ["--image", at("person"), "--mask", at("mask"), "--strength", "0.6", "--scheduler", "ddim"];
    const run = (name: string, ...more: string[]) =>
      toile(["generate", "--checkpoints", folder, ...small, ...more, "--out", join(work, name)]);
    expect(run("plain", ...image)).toMatchObject({ code: 0, err: "" });
    const { toile: kept } = await readText(join(work, "plain", "generated_0.png"));
    expect(JSON.parse(kept!)).toMatchObject({ scheduler: "ddim", strength: 0.6 });
    expect(run("lora", ...image, "--lora", lora)).toMatchObject({ code: 0, err: "" });
    expect(await pixels(join(work, "lora"))).not.toEqual(await pixels(join(work, "plain")));
    const [whole, half] = [join(work, "f32.safetensors"), join(work, "f16.safetensors")];
    expect(toile(["convert", folder, whole, "--dtype", "f32"]).code).toBe(0);
    expect(toile(["convert", folder, half, "--dtype", "f16"]).code).toBe(0);
    const data = (path: string) => {
      const file = readFileSync(path);
      return file.length - Number(file.readBigUInt64LE(0)) - 8;
    };
    expect(data(whole)).toBe(2 * data(half));
  });

  test("mistakes are one line, and leave nothing", () => {
    const folder = checkpoint();
    const work = dirname(folder);
    const before = filesIn(work);
    const fails = (code: number, says: RegExp, ...args: string[]) => {
      const ran = toile(args);
      expect(ran.code).toBe(code);
      expect(ran.err).toMatch(says);
      expect(ran.err.trimEnd().split("\n")).toHaveLength(1);
      expect(ran.out).toBe("");
      expect(filesIn(work)).toEqual(before);
    };
    const out = ["--out", join(work, "out")];
    fails(2, /--prompt is needed/, "generate", "--checkpoints", folder, ...out);
    fails(2, /--mask .* needs --image/, "generate", "--checkpoints", folder, "--mask", "m.png", ...small, ...out);
    const weak = ["--image", "i.png", "--strength", "0.1"];
    fails(2, /--strength "0.1" of 2 steps leaves none/, "generate", "--checkpoints", folder, ...weak, ...small, ...out);
    const ask = ["generate", "--checkpoints", folder, ...small, ...out];
    fails(1, /style:abc: no such LoRA file/, ...ask, "--lora", join(work, "style:abc"));
    fails(2, /--lora/, ...ask, "--lora", "");
    fails(1, /loadLoraWeights: ".*" is no file: its name ends/, ...ask, "--lora", join(folder, "model_index.json"));
    fails(1, /model_index\.json is missing/, "generate", "--checkpoints", work, ...small, ...out);
    const many = [...ask, "--steps", "1000", "--scheduler", "unipc"];
    fails(2, /^toile: --steps "1000": /, ...many);
    fails(2, /--extract-ema is for a single file/, ...ask, "--extract-ema");
    fails(2, /its name ends in \.safetensors/, "convert", folder, join(work, "x"));
    fails(1, /no such file or folder/, "convert", join(work, "nothing"), join(work, "x"));
    const vae = join(folder, "vae/diffusion_pytorch_model.safetensors");
    fails(1, /no Stable Diffusion checkpoint in one file/, "convert", vae, join(work, "x"));
    fails(1, /exists already/, "convert", vae, folder);
    fails(1, /exists already/, "convert", folder, vae); // not even a part of what is read
    fails(2, /<out> "" is empty/, "convert", vae, "");
    fails(2, /--extract-ema is for a single file/, "convert", folder, join(work, "x.safetensors"), "--extract-ema");
    writeFileSync(join(folder, "unet/config.json"), readFileSync(join(folder, "unet/config.json"), "utf8").replace('"in_channels":4', '"in_channels":9')); // prettier-ignore
    fails(1, /^toile: unet: .*1 of another shape/, "convert", folder, join(work, "x.safetensors"));
  });
});
