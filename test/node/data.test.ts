import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openPairs } from "../../src/cli/pairs.ts";
import type { LoopArguments } from "../../src/cli/train_options.ts";
import { checkDataset } from "../../src/node/data/check.ts";
import { folderDataset, type FolderOptions } from "../../src/node/data/folder.ts";
import { openPool } from "../../src/node/data/pool.ts";
import { prepareSet, writeLists, writePair, type WriteOptions } from "../../src/node/data/write.ts";
import { writePng } from "../../src/node/images.ts";
import { drawnDataset } from "../../src/training/data/drawn.ts";
import { fromLip, parseBody25, parsePairs, type PairList } from "../../src/training/data/layouts.ts";
import { LABEL } from "../../src/vision/labels.ts";
import type { TryOnSample } from "../../src/training/data/dataset.ts";

const OPTIONS: WriteOptions = {
  seed: 8,
  width: 48,
  height: 64,
  length: 12,
  test: 6,
  categories: ["upperbody", "lowerbody", "dress"],
  format: "png",
};

const root = mkdtempSync(join(tmpdir(), "toile-data-"));
const [dressCode, vitonHd] = [join(root, "drawn"), join(root, "viton")];

const LIP = [0, 1, 2, 4, 5, 12, 9, 6, 0, 18, 19, 13, 16, 17, 14, 15, 3, 11, 10]; // LABEL's as LIP's; bags as gloves
const BODY_25 = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18];

/** Drawn tops in VITON-HD's folders. */
async function writeViton(): Promise<void> {
  const set = drawnDataset({ ...OPTIONS, categories: ["upperbody"] });
  const lines: string[] = [];
  for (let i = 0; i < 3; i++) {
    const { person, garment, mask, labels, pose } = await set.get(i);
    const name = `0000${i}_00`;
    const put = async (path: string, image: typeof person) => {
      mkdirSync(dirname(join(vitonHd, path)), { recursive: true });
      await writePng(join(vitonHd, path), image);
    };
    await put(`test/image/${name}.png`, person);
    await put(`test/cloth/${name}.png`, garment);
    await put(`test/agnostic-mask/${name}_mask.png`, mask);
    await put(`test/image-parse-v3/${name}.png`, { ...labels!, data: labels!.data.map((label) => LIP[label]!) });
    const joints = new Array<number>(75).fill(0);
    for (const [joint, { x, y }] of pose!.entries())
      joints.splice(3 * BODY_25[joint]!, 3, (x * 48) / 384, (y * 64) / 512, 0.9);
    mkdirSync(join(vitonHd, "test/openpose_json"), { recursive: true });
    const json = JSON.stringify({ people: [{ pose_keypoints_2d: joints }] });
    writeFileSync(join(vitonHd, `test/openpose_json/${name}_keypoints.json`), json);
    lines.push(`${name}.png 0000${(i + 1) % 3}_00.png`);
  }
  writeFileSync(join(vitonHd, "test_pairs.txt"), `${lines.join("\n")}\n`);
  writeFileSync(join(vitonHd, "test_pairs_unpaired.txt"), `${lines.join("\r\n")}\r\n`);
}

beforeAll(async () => {
  await prepareSet(dressCode, OPTIONS);
  for (let i = 0; i < OPTIONS.length; i++) await writePair(dressCode, i, OPTIONS);
  await writeLists(dressCode, OPTIONS);
  await writeViton();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const ask = (options: Partial<FolderOptions>): FolderOptions => ({
  split: "test",
  order: "paired",
  width: 48,
  height: 64,
  ...options,
});

/** Whether two samples show the same. */
function expectSame(
  a: TryOnSample,
  b: TryOnSample,
  parts: readonly ("person" | "garment" | "mask" | "truth" | "labels")[],
): void {
  for (const part of parts) expect([part, Buffer.compare(a[part]!.data, b[part]!.data)]).toEqual([part, 0]);
}

test("a drawn set read back is what was drawn: paired, and unpaired with its truth", async () => {
  for (const order of ["paired", "unpaired"] as const) {
    const set = await folderDataset(dressCode, ask({ order, categories: ["lowerbody"] }));
    expect(set.length).toBe(2); // numbers 7 and 10
    const drawn = await drawnDataset({ ...OPTIONS, pairing: order }).get(7);
    const read = await set.get(0);
    expectSame(read, drawn, ["person", "garment", "truth", "labels"]);
    expect(read.category).toBe("lowerbody");
    expect(read.pose).toEqual(drawn.pose);
    expect(read.names.garment).toBe(order === "paired" ? "000007_1.png" : "000007_6.png");
    const given = await (
      await folderDataset(dressCode, ask({ order, categories: ["lowerbody"], mask: "given" }))
    ).get(0);
    expectSame(given, drawn, ["mask"]);
  }
  expect((await folderDataset(dressCode, ask({ split: "train" }))).length).toBe(6);
});

test("VITON-HD: other labels and joints give the same mask; paired takes the person's garment, unpaired the list's", async () => {
  const drawn = drawnDataset({ ...OPTIONS, categories: ["upperbody"] });
  const paired = await folderDataset(vitonHd, ask({}));
  expect(paired.length).toBe(3);
  const [read, given] = [await paired.get(1), await (await folderDataset(vitonHd, ask({ mask: "given" }))).get(1)];
  expectSame(read, await drawn.get(1), ["person", "garment", "truth"]);
  expectSame(given, await drawn.get(1), ["mask"]);
  const differ = read.mask.data.filter((value, i) => value !== given.mask.data[i]).length;
  expect(differ).toBe(0);
  const unpaired = await (await folderDataset(vitonHd, ask({ order: "unpaired" }))).get(1);
  expectSame(unpaired, await drawn.get(2), ["garment"]);
  expect(unpaired.truth).toBeUndefined();
});

test("VITON-HD without a list of its own for unpaired ones has the second garments of its only list", async () => {
  const own = readFileSync(join(vitonHd, "test_pairs.txt"));
  rmSync(join(vitonHd, "test_pairs_unpaired.txt"));
  const unpaired = await folderDataset(vitonHd, ask({ order: "unpaired", mask: "given" }));
  expect(unpaired.length).toBe(3);
  expect((await unpaired.get(1)).names).toEqual({ person: "00001_00.png", garment: "00002_00.png" });
  writeFileSync(join(vitonHd, "test_pairs.txt"), "00000_00.png 00007_00.png\n00001_00.png\n");
  const { lists, problems } = await checkDataset(vitonHd, { decode: false });
  expect(lists.map(({ list, order, pairs }) => `${list} ${order} ${pairs}`)).toEqual([
    "test_pairs.txt paired 1",
    "test_pairs.txt unpaired 1",
  ]);
  expect(problems).toEqual([
    { file: "test_pairs.txt", what: "line 2 has 1 words, not two file names" },
    { file: "test/cloth/00007_00.png", what: "is missing" },
  ]);
  writeFileSync(join(vitonHd, "test_pairs.txt"), "00000_00.png 00000_00.png\n"); // as some hand the set on
  await expect(folderDataset(vitonHd, ask({ order: "unpaired" }))).rejects.toThrow("no unpaired pairs of test");
  for (const name of ["test_pairs.txt", "test_pairs_unpaired.txt"]) writeFileSync(join(vitonHd, name), own);
});

test("a set with masks alone trains what needs none, and says how it trains the rest", async () => {
  const set = join(root, "masks-alone");
  cpSync(join(vitonHd, "test"), join(set, "train"), { recursive: true });
  copyFileSync(join(vitonHd, "test_pairs.txt"), join(set, "train_pairs.txt"));
  expect((await checkDataset(set)).masks).toEqual(["made", "given"]);
  rmSync(join(set, "train/image-parse-v3"), { recursive: true });
  expect(await checkDataset(set)).toMatchObject({ masks: ["given"], problems: [] });
  const options = { dataset_dir: set, width: 48, height: 64, dataloader_num_workers: 0, drawn_seed: 0 };
  const open = async (masks: "made" | "given" | "none") =>
    openPairs(options as unknown as LoopArguments, "half", masks);
  await expect(open("made")).rejects.toThrow(
    `--masks made needs label maps and key points, which ${set} has not: use --masks given`,
  );
  expect((await (await open("given")).get(0)).mask.data).toContain(255);
  rmSync(join(set, "train/agnostic-mask"), { recursive: true });
  expect((await checkDataset(set, { decode: false })).masks).toEqual([]);
  expect((await (await open("none")).get(0)).mask.data).not.toContain(255);
});

test("Dress Code with lists in its root too, as some releases have, is not taken for VITON-HD", async () => {
  const lists = ["train_pairs.txt", "test_pairs_unpaired.txt"].map((name) => join(dressCode, name));
  for (const list of lists) writeFileSync(list, "000000_0.png\t000000_1.png\n");
  expect((await checkDataset(dressCode)).layout).toBe("Dress Code");
  for (const list of lists) rmSync(list);
});

test("masks are made as the model's that is trained, and no pixel of the garment stays outside", async () => {
  const hd = await (await folderDataset(dressCode, { ...ask({}), mask: { model: "hd" } })).get(0);
  const drawn = await drawnDataset({ ...OPTIONS, mask: { model: "hd" } }).get(6);
  expectSame(hd, drawn, ["person", "mask"]);
  const outside = hd.labels!.data.filter((label, i) => label === LABEL.upper && hd.mask.data[i] === 0);
  expect(outside).toHaveLength(0);
});

test("pictures of another size are resized, joints stay in 384x512", async () => {
  const large = await (await folderDataset(dressCode, ask({ width: 96, height: 128 }))).get(0);
  expect([large.person.width, large.mask.height, large.labels!.width]).toEqual([96, 128, 96]);
  expect(large.pose).toEqual((await (await folderDataset(dressCode, ask({}))).get(0)).pose);
});

test("what a set lacks is said", async () => {
  await expect(folderDataset(join(root, "nowhere"), ask({}))).rejects.toThrow("nowhere: no such folder");
  await expect(folderDataset(root, ask({}))).rejects.toThrow(
    "neither VITON-HD (train_pairs.txt, test_pairs.txt) nor Dress Code",
  );
  await expect(folderDataset(vitonHd, ask({ split: "train" }))).rejects.toThrow("no paired pairs of train");
  await expect((await folderDataset(vitonHd, ask({}))).get(3)).rejects.toThrow("no sample 3 among 3");
});

test("the checker accepts what was written", async () => {
  const report = await checkDataset(dressCode);
  expect(report.problems).toEqual([]);
  expect(report.layout).toBe("Dress Code");
  expect(report.lists.map(({ split, order, category, pairs }) => `${split} ${order} ${category} ${pairs}`)).toEqual(
    ["upperbody", "lowerbody", "dress"].flatMap((category) => [
      `train paired ${category} 2`,
      `test paired ${category} 2`,
      `test unpaired ${category} 2`,
    ]),
  );
  expect((await checkDataset(vitonHd)).problems).toEqual([]);
});

test("the checker names every file that is missing, misnamed, damaged or of another size", async () => {
  const folder = (name: string) => join(dressCode, name);
  const spoil: [name: string, (path: string) => void, what: RegExp][] = [
    ["upper_body/images/000000_0.png", (path) => rmSync(path), /: is missing$/],
    [
      "upper_body/keypoints/000003_2.json",
      (path) => writeFileSync(path, '{"pose_keypoints_2d": [[1, 2]]}'),
      /holds 1 key points; there must be 18/,
    ],
    [
      "lower_body/images/000001_1.png",
      (path) => renameSync(path, path.replace(".png", ".PNG")),
      /: is missing; there is 000001_1\.PNG$/,
    ],
    [
      "lower_body/label_maps/000004_4.png",
      (path) => truncateSync(path, 100),
      /cannot be decoded, it is damaged or cut short/,
    ],
    ["lower_body/keypoints/000004_2.json", (path) => writeFileSync(path, "{"), /is not JSON/],
    [
      "lower_body/label_maps/000007_4.png", // nobody in it
      (path) => copyFileSync(join(vitonHd, "empty.png"), path),
      /mask: nothing to paint: the label map shows no person/,
    ],
    [
      "dresses/agnostic_masks/000002_0.png",
      (path) => writeFileSync(path, "no picture"),
      /is not a JPEG, PNG or WebP picture/,
    ],
    [
      "dresses/truths/000008_0.png",
      (path) => copyFileSync(join(vitonHd, "small.png"), path),
      /: 24x32 pixels, the person has 48x64$/,
    ],
  ];
  await writePng(join(vitonHd, "small.png"), { width: 24, height: 32, data: new Uint8Array(24 * 32 * 3) });
  await writePng(join(vitonHd, "empty.png"), { width: 48, height: 64, data: new Uint8Array(48 * 64) });
  const whole = spoil.map(([name]) => readFileSync(folder(name)));
  for (const [name, change] of spoil) change(folder(name));
  writeFileSync(
    folder("dresses/train_pairs.txt"),
    "000002_0.png 000002_1.png\n000002_0.png\t000002_1.png\none two three\n../x y\n",
  );
  const { problems } = await checkDataset(dressCode);
  const found = new Map(problems.map(({ file, what }) => [file, what]));
  for (const [name, , what] of spoil) expect(`${name}: ${found.get(name)}`).toMatch(what);
  expect(
    problems
      .filter(({ file }) => file === "dresses/train_pairs.txt")
      .map(({ what }) => what)
      .sort(),
  ).toEqual([
    "line 3 has 3 words, not two file names",
    'line 4 has "../x", which is no file name',
    "names 000002_0.png 000002_1.png twice",
  ]);
  expect(problems).toHaveLength(spoil.length + 3);
  const nobody = folderDataset(dressCode, { ...ask({}), categories: ["lowerbody"] }).then((set) => set.get(0));
  await expect(nobody).rejects.toThrow("label_maps/000007_4.png: mask: nothing to paint");
  // Names alone: what is damaged is not noticed, what is missing is.
  expect((await checkDataset(dressCode, { decode: false })).problems).toHaveLength(2 + 3);
  for (const [i, [name]] of spoil.entries()) writeFileSync(folder(name), whole[i]!);
  rmSync(folder("lower_body/images/000001_1.PNG"));
  await writeLists(dressCode, OPTIONS);
  expect((await checkDataset(dressCode)).problems).toEqual([]);
});

const LIST: PairList = {
  path: "test_pairs.txt",
  layout: "VITON-HD",
  split: "test",
  order: "unpaired",
  category: "upperbody",
};

test("lists, labels and joints of other sets", () => {
  expect(parsePairs(LIST, "a.jpg b.jpg\r\n\nc.jpg\td.jpg")).toEqual([
    { person: "a.jpg", garment: "b.jpg" },
    { person: "c.jpg", garment: "d.jpg" },
  ]);
  expect(() => parsePairs(LIST, "a.jpg\n")).toThrow("test_pairs.txt: line 1 has 1 words, not two file names");
  const lip = { width: 20, height: 1, data: Uint8Array.from({ length: 20 }, (_, i) => i) };
  expect([...fromLip(lip).data].slice(13)).toEqual([
    LABEL.face,
    LABEL.leftArm,
    LABEL.rightArm,
    LABEL.leftLeg,
    LABEL.rightLeg,
    LABEL.leftShoe,
    LABEL.rightShoe,
  ]);
  const joints = Array.from({ length: 25 }, (_, i) => [i, 2 * i, i === 4 ? 0 : 1]).flat();
  const pose = parseBody25("k.json", JSON.stringify({ people: [{ pose_keypoints_2d: joints }] }), {
    width: 768,
    height: 1024,
  });
  expect(pose).toHaveLength(18);
  expect([pose[4], pose[7], pose[8]]).toEqual([
    { x: 0, y: 0 },
    { x: 3.5, y: 7 },
    { x: 4.5, y: 9 },
  ]);
  expect(() => parseBody25("k.json", '{"people": []}', { width: 1, height: 1 })).toThrow(
    "k.json: holds no people[0].pose_keypoints_2d",
  );
});

test("without threads a pool works on the caller's", async () => {
  const pool = openPool(0);
  const spec = { kind: "drawn", seed: 8, width: 48, height: 64 } as const;
  const sample = (await pool.run({ do: "sample", spec, index: 2, epoch: 0 })) as TryOnSample;
  expectSame(sample, await drawnDataset(spec).get(2), ["person", "mask"]);
  expect(() => openPool(-1)).toThrow("workers: -1 threads");
});
