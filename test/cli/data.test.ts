import { createHash } from "node:crypto";
import { readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import type * as NodeEntry from "../../src/node/index.ts";
import { drawnDataset } from "../../src/training/data/drawn.ts";
import { filesIn, root, scratch, startToile, toile } from "./run.ts";

const draw = (out: string, ...more: string[]) =>
  toile([
    "data",
    "draw",
    "--out",
    out,
    "--pairs",
    "8",
    "--seed",
    "4",
    "--width",
    "48",
    "--height",
    "64",
    "--json",
    ...more,
  ]);

/** One hash over all files and their names. */
function hashOf(folder: string): string {
  const hash = createHash("sha256");
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" }).sort()) {
    hash.update(name);
    if (/\.\w+$/.test(name)) hash.update(readFileSync(join(folder, name)));
  }
  return hash.digest("hex");
}

test("draws a set that the checker accepts, the same bytes with any number of threads", () => {
  const folder = scratch();
  const [one, two] = [join(folder, "one"), join(folder, "two")];
  const ran = draw(one, "--workers", "2");
  expect(ran).toMatchObject({ code: 0, err: "" });
  expect(JSON.parse(ran.out)).toMatchObject({ out: one, pairs: 8, test: 0, seed: 4 });
  expect(draw(two, "--workers", "0").code).toBe(0);
  expect(hashOf(one)).toBe(hashOf(two));
  expect(toile(["data", "check", one])).toMatchObject({ code: 0, err: "" }); // lists for testing would be empty
  const again = draw(one, "--test", "3");
  expect(again).toMatchObject({ code: 1, out: "" });
  expect(again.err).toContain("one: holds upper_body of a set already: draw into a folder of its own");
  expect(hashOf(one)).toBe(hashOf(two));
  const three = join(folder, "three");
  expect(draw(three, "--test", "3").code).toBe(0);
  const report = toile(["data", "check", three]);
  expect(report).toMatchObject({ code: 0, err: "" });
  expect(report.out).toContain("train  paired    upperbody         2 pairs  upper_body/train_pairs.txt\n");
  expect(report.out).toMatch(/\nmasks: --masks made, --masks given\n\d+ files, no problem\n$/);
});

test("the checker ends with 1 and names what is wrong", () => {
  const folder = scratch();
  expect(draw(folder, "--test", "3", "--categories", "upperbody").code).toBe(0);
  const images = join(folder, "upper_body/images");
  rmSync(join(images, "000001_1.jpg"));
  renameSync(join(images, "000002_0.jpg"), join(images, "000002_0.jpeg"));
  writeFileSync(join(images, "000003_0.jpg"), readFileSync(join(images, "000003_0.jpg")).subarray(0, 900));
  const { code, out, err } = toile(["data", "check", folder]);
  expect({ code, err }).toEqual({ code: 1, err: "" });
  expect(out).toContain("upper_body/images/000001_1.jpg: is missing\n");
  expect(out).toContain("upper_body/images/000002_0.jpg: is missing; there is 000002_0.jpeg\n");
  expect(out).toContain("upper_body/images/000003_0.jpg: cannot be decoded, it is damaged or cut short");
  expect(out).toMatch(/\d+ files, 3 problems\n$/);
});

test("an interrupted drawing ends with 130, one line and no list", async () => {
  const folder = scratch();
  const running = startToile(["data", "draw", "--out", folder, "--pairs", "5000", "--width", "48", "--height", "64"]);
  let err = "";
  running.stderr!.on("data", (piece) => (err += String(piece)));
  await vi.waitUntil(() => filesIn(folder).length > 20, { timeout: 30_000, interval: 50 });
  running.kill("SIGINT");
  const code = await new Promise((resolve) => running.on("exit", resolve));
  expect({ code, err }).toEqual({ code: 130, err: "toile: interrupted, the pairs that were drawn are in no list\n" });
  expect(filesIn(folder).filter((name) => name.endsWith(".txt"))).toEqual([]);
});

test.each([
  [["data", "draw"], 2, "toile: --out is needed"],
  [["data", "draw", "--out", "x", "--pairs", "0"], 2, 'toile: --pairs "0" is not between 1 and 1000000'],
  [["data", "draw", "--out", "x", "--framing", "half"], 2, 'toile: --framing "half" needs --categories upperbody'],
  [["data", "draw", "--out", "x", "--categories", "hats"], 2, "is not a list of upperbody,lowerbody,dress"],
  [["data", "check", "nowhere"], 1, "toile: nowhere: no such folder"],
])("%j ends with %i", (args, code, line) => {
  const ran = toile(args);
  expect(ran.code).toBe(code);
  expect(ran.out).toBe("");
  expect(ran.err).toContain(line);
  expect(ran.err.trim().split("\n")).toHaveLength(1);
});

test("threads draw what one thread draws, and say what is wrong as one does", async () => {
  const { threadedDataset } = (await import(join(root, "dist/node.js"))) as typeof NodeEntry;
  const options = { seed: 4, width: 48, height: 64, pairing: "mixed", length: 20 } as const;
  const set = await threadedDataset({ kind: "drawn", ...options }, { workers: 2 });
  try {
    const samples = await Promise.all([0, 1, 2, 3].map(async (index) => set.get(index)));
    for (const [index, sample] of samples.entries()) {
      const drawn = await drawnDataset(options).get(index);
      for (const part of ["person", "garment", "mask", "truth"] as const)
        expect(Buffer.compare(sample[part]!.data, drawn[part]!.data)).toBe(0);
    }
    await expect(set.get(20)).rejects.toThrow("drawn data: no sample 20 among 20");
  } finally {
    await set.close?.();
  }
});
