import { describe, expect, test } from "vitest";
import { frechetDistance, kernelDistance } from "../../src/evaluation/distances.ts";
import { evaluate, type EvaluationInputs, type PictureFile } from "../../src/evaluation/evaluate.ts";
import { byKey, keyOf, PROTOCOLS } from "../../src/evaluation/protocols.ts";
import { reportHtml, select } from "../../src/evaluation/report.ts";
import { psnr, ssim, SSIM } from "../../src/evaluation/similarity.ts";
import { DeviceLostError, InputError } from "../../src/util/errors.ts";
import type { RgbImage } from "../../src/vision/image.ts";
import { resize } from "../../src/vision/resize.ts";
import { normal } from "../helpers.ts";

function picture(seed: number, width = 24, height = 32): RgbImage {
  const noise = normal(seed, width * height * 3, { mean: 128, scale: 40 });
  return { width, height, data: Uint8Array.from(noise, (value) => Math.min(255, Math.max(0, value))) };
}

/** Files in memory; `reads` counts how often one was decoded. */
function files(pictures: Readonly<Record<string, RgbImage | Error>>) {
  const reads: string[] = [];
  const list = Object.entries(pictures).map(([name, content]): PictureFile => ({
    name,
    digest: async () => (content instanceof Error ? `broken ${name}` : content.data.join()),
    read: async () => {
      reads.push(name);
      if (content instanceof Error) throw content;
      return content;
    },
  }));
  return { list, reads };
}

function journal() {
  const known = new Map<string, string>();
  return {
    get: (key: string) => known.get(key),
    put: async (key: string, value: string) => void known.set(key, value),
  };
}

const run = (changes: Partial<EvaluationInputs> & Pick<EvaluationInputs, "generated" | "reference">) =>
  evaluate({ protocol: "catvton", order: "paired", journal: journal(), ...changes });

/** Features as simple as can be: the mean of each channel, and the height that was seen. */
const inception = {
  id: "means",
  measure: async ({ data, height }: RgbImage) =>
    Float32Array.from({ length: 4 }, (_, c) =>
      c === 3 ? height : data.reduce((sum, value, i) => (i % 3 === c ? sum + value : sum), 0) / (data.length / 3),
    ),
};

describe("protocols", () => {
  test("ladi-vton compares at 384x512, catvton at the generated picture's height", async () => {
    const [made, real] = [picture(1), picture(2, 48, 64)];
    const inputs = { generated: files({ "1.png": made }).list, reference: files({ "1.jpg": real }).list };
    const ladi = await run({ ...inputs, protocol: "ladi-vton" });
    const wide = [made, real].map((image) => resize(image, 384, 512, "bilinear")) as [RgbImage, RgbImage];
    expect(ladi.scores.ssim).toBe(ssim(...wide, SSIM.torchmetrics));
    expect(ladi.scores.psnr).toBe(psnr(...wide));
    const { scores, images } = await run(inputs);
    const small = resize(real, 24, 32, "lanczos");
    expect(scores).toEqual({
      ssim: ssim(made, small, SSIM.torchmetrics),
      ssimTorchmetrics14: ssim(made, small, SSIM["torchmetrics-1.4"]),
      ssimSkimage: ssim(made, small, SSIM.skimage),
      psnr: psnr(made, small),
    });
    expect(images).toEqual([{ name: "1.png", reference: "1.jpg", ...scores }]);
  });

  test("files are matched by their stem, or by eight characters from the first digit", () => {
    expect(keyOf(PROTOCOLS["ladi-vton"], "upper/00006_00.jpg")).toBe("00006_00");
    expect(keyOf(PROTOCOLS["ladi-vton"], "a.b.png")).toBe("a.b");
    expect(keyOf(PROTOCOLS.catvton, "out_00006_00_dc.png")).toBe("00006_00");
    expect(keyOf(PROTOCOLS.catvton, "sub/person.png")).toBe("person");
    const twice = [{ name: "a/00006_00.jpg" }, { name: "00006_00_b.jpg" }];
    expect(() => byKey(PROTOCOLS.catvton, twice)).toThrow(
      '00006_00_b.jpg: has the same number as a/00006_00.jpg: "00006_00"',
    );
  });

  test("distributions: of whole sets, in both orders, references resized as it says", async () => {
    const made = [1, 2, 3, 4].map((seed) => picture(seed));
    const real = [11, 12, 13].map((seed) => picture(seed, 48, 64));
    const named = (images: readonly RgbImage[], name: string) =>
      files(Object.fromEntries(images.map((image, i) => [`${i}${name}`, image]))).list;
    const inputs = { generated: named(made, ".png"), reference: named(real, ".jpg"), inception };
    const features = async (images: readonly RgbImage[]) =>
      Promise.all(images.map((image) => inception.measure(image)));
    const own = await features(made);
    const asTheyAre = await features(real);
    const resized = await features(real.map((image) => resize(image, 24, 32, "lanczos")));
    const ladi = await run({ ...inputs, protocol: "ladi-vton", order: "unpaired" });
    const scores = (other: Float32Array[], scale: number) => ({
      fid: frechetDistance(own, other),
      kid: scale * kernelDistance(own, other),
    });
    expect(ladi).toMatchObject({ scores: scores(asTheyAre, 1), images: [], counts: { measured: 7 } });
    expect((await run({ ...inputs, order: "unpaired" })).scores).toEqual(scores(resized, 1000));
    expect((await run(inputs)).scores).toMatchObject({ ...scores(resized, 1000), ssim: expect.any(Number) });
    const both = await run({ ...inputs, protocol: "ladi-vton" });
    expect(both.scores).toMatchObject({ ...scores(asTheyAre, 1), ssim: expect.any(Number) });
    await expect(run({ ...inputs, reference: inputs.reference.slice(0, 1), order: "unpaired" })).rejects.toThrow(
      "1 references are too few for FID",
    );
  });
});

describe("what goes wrong", () => {
  const good = { "1.png": picture(1), "2.png": picture(2), "3.png": picture(3) };

  test("damaged pictures, missing references and other sizes are named, and the others measured", async () => {
    const generated = files({
      ...good,
      "2.png": new InputError("dir/2.png", "cannot be decoded"),
      "9.png": picture(9),
    });
    const reference = files({ ...good, "3.png": picture(3, 32, 32), "8.png": picture(8) });
    const { skipped, images, counts } = await run({ generated: generated.list, reference: reference.list });
    expect(skipped).toEqual([
      { file: "2.png", why: "dir/2.png: cannot be decoded" },
      { file: "3.png", why: "ssim: pictures of 24x32 and 32x32" },
      { file: "9.png", why: "has no reference" },
    ]);
    expect(images.map(({ name }) => name)).toEqual(["1.png"]);
    expect(counts).toEqual({ generated: 4, reference: 4, unmatched: 1, measured: 1, resumed: 0 });
  });

  test("a lost device is no picture's fault", async () => {
    const lost = new DeviceLostError("device", "lost", true);
    const lpips = { id: "x", measure: async () => Promise.reject(lost) };
    await expect(run({ generated: files(good).list, reference: files(good).list, lpips })).rejects.toBe(lost);
  });

  test("a journal that cannot be written ends it, and is no picture's fault either", async () => {
    const full = new InputError("progress.jsonl", "no space is left on the disk");
    const broken = { get: () => undefined, put: async () => Promise.reject(full) };
    await expect(run({ generated: files(good).list, reference: files(good).list, journal: broken })).rejects.toBe(full);
  });

  test("equal pictures: PSNR is infinite, before and after the journal", async () => {
    const shared = journal();
    for (let i = 0; i < 2; i++) {
      const { scores } = await run({ generated: files(good).list, reference: files(good).list, journal: shared });
      expect(scores).toMatchObject({ psnr: Infinity, ssim: expect.closeTo(1, 12) });
    }
  });
});

describe("resuming", () => {
  const pictures = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`${i}.png`, picture(i)]));

  test("an interrupted call goes on where it stopped, and gives what an uninterrupted one gives", async () => {
    const inputs = { generated: files(pictures(5)), reference: files(pictures(5)), journal: journal() };
    const sides = { generated: inputs.generated.list, reference: inputs.reference.list, inception };
    const controller = new AbortController();
    const onProgress = (_: string, done: number) => void (done === 3 && controller.abort());
    const first = run({ ...sides, journal: inputs.journal, signal: controller.signal, onProgress });
    await expect(first).rejects.toMatchObject({ name: "AbortError" });
    inputs.generated.reads.length = 0;
    const second = await run({ ...sides, journal: inputs.journal });
    expect(second.counts).toMatchObject({ measured: 2 + 10, resumed: 3 });
    expect(inputs.generated.reads.slice(0, 2)).toEqual(["3.png", "4.png"]);
    const whole = await run(sides);
    expect({ ...second, counts: {} }).toEqual({ ...whole, counts: {} });
  });

  test("another file, other weights or another protocol are measured anew", async () => {
    const shared = journal();
    const sides = () => ({ generated: files(pictures(2)).list, reference: files(pictures(2)).list, journal: shared });
    expect((await run(sides())).counts).toMatchObject({ measured: 2, resumed: 0 });
    expect((await run(sides())).counts).toMatchObject({ measured: 0, resumed: 2 });
    const changed = files({ ...pictures(2), "1.png": picture(77) }).list;
    expect((await run({ ...sides(), generated: changed })).counts).toMatchObject({ measured: 1, resumed: 1 });
    const lpips = { id: "a", measure: async () => 0.5 };
    expect((await run({ ...sides(), lpips })).scores.lpips).toBe(0.5);
    expect((await run({ ...sides(), lpips: { ...lpips, id: "b" } })).counts).toMatchObject({ measured: 2 });
    const one = { ...sides(), generated: sides().generated.slice(0, 1) };
    expect((await run({ ...one, protocol: "ladi-vton" })).counts).toMatchObject({ measured: 1 });
  });
});

test("the page shows the worst and best, escapes names, and needs no other file", async () => {
  const names = Array.from({ length: 6 }, (_, i) => `${i}<b>.png`);
  const generated = files(Object.fromEntries(names.map((name, i) => [name, picture(i)])));
  const reference = files(Object.fromEntries(names.map((name) => [name, picture(2)])));
  const evaluation = await run({ generated: generated.list, reference: reference.list });
  const selection = select(evaluation, names);
  expect(selection.best[0]!.name).toBe("2<b>.png");
  expect(selection.worst.map(({ ssim }) => ssim)).toEqual(
    selection.worst.map(({ ssim }) => ssim).sort((a, b) => a - b),
  );
  expect([...selection.worst, ...selection.best]).toHaveLength(6);
  const thumbnails = new Map(names.map((name) => [name, { generated: `data:a"${name}`, reference: "data:b" }]));
  const html = reportHtml(evaluation, selection, { title: "T & <T>", facts: { repaint: "true" }, thumbnails });
  expect(html).not.toMatch(/<b>|https?:|src="(?!data:)|href=/);
  expect(html).toContain("T &amp; &lt;T&gt;");
  for (const heading of ["Worst", "Best", "Sample", "Every picture"]) expect(html).toContain(`<h2>${heading}</h2>`);
  expect(html.match(/<tr>/g)).toHaveLength(1 + 4 + 1 + 6); // four mean scores and six pictures, with their heads
});
