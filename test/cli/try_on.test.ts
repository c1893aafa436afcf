import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { fixture } from "../helpers.ts";
import { filesIn, scratch, startToile, toile, tryOnArgs } from "./run.ts";

interface Report {
  readonly images: string[];
  readonly mask: string;
  readonly masked: string;
  readonly seed: number;
  readonly timings: Record<string, number>;
}

const pixels = (file: string) => sharp(file).raw().toBuffer();

test("writes its files, and one JSON object; the same seed gives the same bytes", async () => {
  const folder = scratch();
  const [first, second] = [join(folder, "a/b"), join(folder, "c")];
  const ran = toile(tryOnArgs(first, { samples: "2", json: true, trace: join(folder, "t.safetensors") }));
  expect(ran).toMatchObject({ code: 0, err: expect.stringMatching(/^(toile: note: [^\n]+\n)*$/) });
  const report = JSON.parse(ran.out) as Report;
  expect(report).toMatchObject({ seed: 5, width: 64, height: 64, steps: 2, scale: 2, adapter: expect.any(String) });
  expect(report.images).toEqual([join(first, "out_hd_0.png"), join(first, "out_hd_1.png")]);
  expect(Object.keys(report.timings)).toEqual(["load", "encode", "garment", "denoise", "decode", "total"]);
  expect(filesIn(first)).toEqual(["mask.png", "masked.png", "out_hd_0.png", "out_hd_1.png"]);

  const again = toile(tryOnArgs(second, { samples: "2" }));
  expect(again).toMatchObject({ code: 0, out: expect.stringContaining("seed 5") });
  for (const name of filesIn(first))
    expect(readFileSync(join(second, name)).equals(readFileSync(join(first, name)))).toBe(true);

  const { channels, comments, width, height } = await sharp(report.images[1]).metadata();
  expect({ channels, width, height }).toEqual({ channels: 3, width: 64, height: 64 });
  const text = Object.fromEntries((comments ?? []).map(({ keyword, text }) => [keyword, text]));
  expect(JSON.parse(text["toile"]!)).toMatchObject({ model: "hd", seed: 5, sample: 1, steps: 2, scheduler: "unipc" });
  expect(await sharp(report.mask).metadata()).toMatchObject({ channels: 1, width: 64, height: 64 });
  expect(JSON.parse(toile(["info", join(folder, "t.safetensors"), "--json"]).out)).toMatchObject({
    dtypes: { F32: expect.any(Number) },
    metadata: { num_steps: "2", image_scale: "2", num_samples: "2", seed: "5" },
  });
});

test("--seed -1 draws a seed and shows it; the noise of a trace gives the picture again", async () => {
  const folder = scratch();
  const [a, b, trace] = [join(folder, "a"), join(folder, "b"), join(folder, "noise.safetensors")];
  const first = JSON.parse(toile(tryOnArgs(a, { seed: "-1", json: true, trace })).out) as Report;
  expect(first.seed).toBeGreaterThanOrEqual(0);
  expect(first.seed).toBeLessThan(2 ** 31);
  const second = JSON.parse(toile(tryOnArgs(b, { seed: "1", json: true, noise: trace })).out) as Report;
  expect(await pixels(second.images[0]!)).toEqual(await pixels(first.images[0]!));
});

describe("pictures of other kinds work", () => {
  test("EXIF-rotated, with alpha, 16-bit, grey; a mask of another size; the shipped checkpoint", async () => {
    const folder = scratch();
    const at = (name: string) => join(folder, name);
    const person = sharp(fixture("pipeline/hd-upperbody/person.png"));
    await person.clone().rotate(90).withMetadata({ orientation: 8 }).jpeg({ quality: 100 }).toFile(at("person.jpg"));
    await sharp(fixture("pipeline/hd-upperbody/garment.png")).ensureAlpha(0.5).png().toFile(at("garment.png"));
    await sharp(fixture("pipeline/hd-upperbody/mask.png"))
      .resize(57, 31)
      .toColourspace("grey16")
      .png()
      .toFile(at("mask.png"));
    const changes = {
      person: at("person.jpg"),
      garment: at("garment.png"),
      mask: at("mask.png"),
      checkpoints: undefined,
    };
    const ran = toile(tryOnArgs(at("out"), { ...changes, width: "128", height: "192", steps: "1", json: true }));
    expect(ran).toMatchObject({ code: 0, err: expect.stringMatching(/^(toile: note: [^\n]+\n)*$/) });
    const { masked, mask } = JSON.parse(ran.out) as Report;
    expect(await sharp(mask).metadata()).toMatchObject({ width: 128, height: 192 });
    // upright again: outside the mask the picture is the person's, but for what JPEG changes
    const [seen, whole, holes] = [
      await pixels(masked),
      await person.raw().toBuffer(),
      await sharp(mask).toColourspace("b-w").raw().toBuffer(),
    ];
    const far = seen.filter((value, i) => holes[Math.floor(i / 3)] === 0 && Math.abs(value - whole[i]!) > 40).length;
    expect(far / seen.length).toBeLessThan(0.01);
  });
});

test("Ctrl-C ends it with 130 and leaves nothing", async () => {
  const out = join(scratch(), "out");
  const child = startToile(tryOnArgs(out, { width: "256", height: "256", steps: "300" }));
  let said = "";
  child.stderr!.on("data", (data: Buffer) => void (said += data.toString()));
  const timer = setTimeout(() => child.kill("SIGINT"), 2500); // in the middle: hundreds of steps take minutes
  const [code] = (await once(child, "close")) as [number];
  clearTimeout(timer);
  expect({ code, said }).toEqual({ code: 130, said: "toile: interrupted, nothing was written\n" });
  expect(existsSync(out)).toBe(false);
});

test("--trace and --debug may lie in --out", () => {
  const out = join(scratch(), "out");
  const places = { trace: join(out, "deep/t.safetensors"), debug: join(out, "debug") };
  const ran = toile(tryOnArgs(out, { ...places, steps: "1", scheduler: "ddim" }));
  expect(ran).toMatchObject({ code: 0 });
  const debug = ["mask.png", "masked.png"];
  expect(filesIn(out)).toEqual([...debug, ...debug, "out_hd_0.png", "t.safetensors"].sort());
});
