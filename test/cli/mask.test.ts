import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { expect, test } from "vitest";
import { writePng } from "../../src/node/images.ts";
import { fixture } from "../helpers.ts";
import { maskFromFiles } from "../../src/cli/labels.ts";
import type { MaskOptions } from "../../src/cli/options.ts";
import { filesIn, scratch, toile, tryOnArgs } from "./run.ts";

const LABELS = fixture("masks/00.parse.png");

const OPTIONS: MaskOptions = {
  ...({ model: "dc", category: "lowerbody", maskMode: "reference", maskGrow: 0, fit: "pad" } as const),
  ...{ maskProtect: [], maskExpose: [] },
};

function keypoints(folder: string): string {
  const [first] = JSON.parse(readFileSync(fixture("masks/index.json"), "utf8")) as { keypoints: unknown }[];
  const path = join(folder, "pose.json");
  writeFileSync(path, JSON.stringify({ pose_keypoints_2d: first!.keypoints }));
  return path;
}

test("writes mask.png: one channel, 0 and 255, the published mask", async () => {
  const folder = scratch();
  const out = join(folder, "new", "folder");
  const ran = toile(["mask", "--labels", LABELS, "--keypoints", keypoints(folder), "--out", out, "--json"]);
  expect(ran).toMatchObject({ code: 0, err: "" });
  const path = join(out, "mask.png");
  expect(JSON.parse(ran.out)).toMatchObject({ mask: path, width: 384, height: 512 });
  expect(filesIn(out)).toEqual(["mask.png"]);
  expect((await sharp(path).metadata()).channels).toBe(1);
  const [mask, expected] = await Promise.all(
    [path, fixture("masks/00.hd.upper_body.png")].map((file) => sharp(file).toColourspace("b-w").raw().toBuffer()),
  );
  expect(Buffer.compare(mask!, expected!)).toBe(0);
});

test("modes, growth, and protection change it", () => {
  const folder = scratch();
  const share = (...more: string[]) => {
    const args = ["--labels", LABELS, "--keypoints", keypoints(folder), "--out", folder, "--json", ...more];
    const { code, out, err } = toile(["mask", ...args]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    return (JSON.parse(out) as { share: number }).share;
  };
  const plain = share();
  expect(share("--mask-grow", "9")).toBeGreaterThan(plain);
  expect(share("--mask-mode", "generous")).toBeGreaterThan(plain);
  expect(share("--mask-protect", "hair,face")).toBeLessThan(plain);
  expect(share("--mask-expose", "hands")).toBeGreaterThan(plain);
});

test("lower garments need no key points", () => {
  const out = scratch();
  const ran = toile(["mask", "--labels", LABELS, "--model", "dc", "--category", "lowerbody", "--out", out]);
  expect(ran).toMatchObject({ code: 0, err: "" });
  expect(ran.out).toBe(`${join(out, "mask.png")}  384x512, 3.7 % masked\n`);
});

test.each([
  [["--keypoints", "x"], 2, "--person is needed, or --labels and --keypoints"],
  [["--labels", LABELS], 2, "--keypoints is needed"],
  [
    ["--labels", LABELS, "--category", "dress"],
    2,
    '--category "dress" needs --model dc: the hd model knows upperbody only',
  ],
  [["--person", "x", "--keypoints", "x"], 2, '--keypoints "x" are found on the person: leave it out'],
  [["--labels", LABELS, "--mask-mode", "x"], 2, '--mask-mode "x" is not one of reference, generous'],
  [["--labels", LABELS, "--mask-grow", "-1"], 2, '--mask-grow "-1" is not between 0 and 4096'],
  [["--labels", LABELS, "--mask-protect", "knees"], 2, '--mask-protect "knees" is not a list of'],
  [["--labels", "nowhere.png", "--keypoints", "x"], 1, "nowhere.png: no such file or folder"],
  [["--labels", LABELS, "--keypoints", "nowhere.json"], 1, "nowhere.json: no such file or folder"],
  [["--labels", LABELS, "--keypoints", LABELS], 1, `${LABELS}: is not JSON`],
])("mistake: %j", (args, code, line) => {
  const out = scratch();
  const ran = toile(["mask", ...args, "--out", out]);
  expect(ran.code).toBe(code);
  expect(ran.err).toMatch(/^toile: [^\n]+\n$/);
  expect(ran.err).toContain(line);
  expect(filesIn(out)).toEqual([]);
});

test("a picture without a person: one line, no file", async () => {
  const folder = scratch();
  const empty = join(folder, "empty.png");
  await writePng(empty, { width: 30, height: 40, data: new Uint8Array(1200) });
  const out = join(folder, "out");
  const ran = toile(["mask", "--labels", empty, "--keypoints", keypoints(folder), "--out", out]);
  expect(ran.code).toBe(1);
  expect(ran.err).toBe("toile: mask: nothing to paint: the label map shows no person\n");
  expect(filesIn(out)).toEqual([]);
});

test("a try-on makes the same mask from the same files", async () => {
  const folder = scratch();
  const files = { labels: LABELS, keypoints: keypoints(folder) };
  const ran = toile(tryOnArgs(join(folder, "out"), { ...files, mask: undefined, fit: "stretch", steps: "1" }));
  expect(ran).toMatchObject({ code: 0 });
  const published = await sharp(fixture("masks/00.hd.upper_body.png"))
    .resize(64, 64, { kernel: "nearest", fit: "fill" })
    .toColourspace("b-w")
    .raw()
    .toBuffer();
  const made = await sharp(join(folder, "out", "mask.png"))
    .toColourspace("b-w")
    .raw()
    .toBuffer();
  expect(made.filter((value, i) => value !== published[i]).length).toBeLessThan(0.05 * made.length);
  expect(made.some((value) => value === 255)).toBe(true);

  const dc = { ...files, mask: undefined, fit: "stretch", steps: "1", model: "dc" } as const;
  const skirt = `lowerbody:${fixture("pipeline/hd-upperbody/garment.png")}`;
  const outfit = toile([...tryOnArgs(join(folder, "outfit"), dc), "--more-garment", skirt]);
  expect(outfit).toMatchObject({ code: 0 });
  expect(outfit.err).not.toMatch(/one mask is given/);
  const { mask, regions } = await maskFromFiles({ ...OPTIONS, ...files }, ["upperbody"]);
  expect(regions).toHaveLength(2);
  expect(mask.data.every((value, i) => value === Math.max(regions[0]!.data[i]!, regions[1]!.data[i]!))).toBe(true);
  const share = (data: Uint8Array) => data.filter((value) => value === 255).length / data.length;
  const own = share(
    await sharp(join(folder, "outfit", "mask.png"))
      .toColourspace("b-w")
      .raw()
      .toBuffer(),
  );
  expect(Math.abs(own - share(mask.data))).toBeLessThan(0.01);
  expect(own).toBeGreaterThan(share(regions[1]!.data) + 0.02);

  const both = toile(tryOnArgs(join(folder, "none"), files));
  expect(both).toMatchObject({ code: 2, err: expect.stringContaining("makes a mask: leave --mask out") });
  const alone = toile(tryOnArgs(join(folder, "none"), { labels: LABELS, mask: undefined }));
  expect(alone).toMatchObject({ code: 2, err: expect.stringContaining("--keypoints is needed") });
});
