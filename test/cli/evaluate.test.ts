import { once } from "node:events";
import { appendFileSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { encodeSafetensors } from "../../src/checkpoint/write.ts";
import { LpipsTrunk } from "../../src/models/lpips/trunk.ts";
import { LpipsWeights } from "../../src/models/lpips/lpips.ts";
import type { Module } from "../../src/nn/module.ts";
import { formula } from "../evaluation/formula.ts";
import { fixture } from "../helpers.ts";
import { filesIn, scratch, startToile, toile } from "./run.ts";

interface Metrics {
  readonly scores: Record<string, number>;
  readonly images: { name: string; reference: string }[];
  readonly skipped: { file: string; why: string }[];
  readonly counts: Record<string, number>;
  readonly facts: Record<string, string>;
}

const expected = JSON.parse(readFileSync(fixture("evaluation/expected.json"), "utf8")) as {
  pairs: { torchmetrics: number; skimage: number; psnr: number; "ladi-vton": Record<string, number> }[];
  lpips: Record<string, number>;
};

/** Folders with both pairs, `copies` times: as files that differ in a byte behind the picture's end. */
function folders(copies = 1): { folder: string; args: string[]; out: string } {
  const folder = scratch();
  for (const side of ["a", "b"]) {
    mkdirSync(join(folder, side));
    for (let i = 0; i < 2 * copies; i++) {
      const bytes = readFileSync(fixture(`evaluation/${side}${i % 2}.png`));
      const own = copies === 1 ? bytes : Buffer.concat([bytes, Uint8Array.of(i)]);
      writeFileSync(join(folder, side, `0000${i}_00.png`), own);
    }
  }
  const out = join(folder, "new/out");
  const args = ["evaluate", "--generated", join(folder, "b"), "--reference", join(folder, "a"), "--out", out];
  return { folder, args, out };
}

const metricsOf = (out: string) => JSON.parse(readFileSync(join(out, "metrics.json"), "utf8")) as Metrics;

function weights(file: string, module: Module): string {
  const tensors = [...module.parameters()].map(([name, { shape }]) => ({
    name,
    dtype: "F32",
    shape,
    data: formula(name, shape),
  }));
  writeFileSync(file, encodeSafetensors(tensors));
  return file;
}

test("writes the packages' numbers into metrics.json and report.html", () => {
  const { folder, args, out } = folders();
  const lpips = weights(join(folder, "squeeze.safetensors"), new LpipsTrunk("squeeze"));
  const linear = weights(join(folder, "linear.safetensors"), new LpipsWeights("squeeze"));
  const networks = ["--lpips", lpips, "--lpips-weights", linear];
  const ran = toile([...args, "--protocol", "catvton", ...networks, "--json"]);
  expect(ran).toMatchObject({ code: 0, err: "" });
  const { scores, images, counts, facts } = metricsOf(out);
  expect(JSON.parse(ran.out)).toMatchObject({ protocol: "catvton", order: "paired", scores, counts });
  const mean = (of: (pair: (typeof expected.pairs)[number]) => number) =>
    expected.pairs.reduce((sum, pair) => sum + of(pair) / 2, 0);
  expect(scores["ssim"]).toBeCloseTo(
    mean((pair) => pair.torchmetrics),
    6,
  );
  expect(scores["ssimSkimage"]).toBeCloseTo(
    mean((pair) => pair.skimage),
    6,
  );
  expect(scores["psnr"]).toBeCloseTo(
    mean((pair) => pair.psnr),
    6,
  );
  expect(images).toMatchObject([
    { name: "00000_00.png", reference: "00000_00.png", lpips: expect.closeTo(expected.lpips["squeeze"]!, 6) },
    { name: "00001_00.png" },
  ]);
  expect(facts).toMatchObject({ "LPIPS network": "squeeze.safetensors", repaint: "not said by the pictures" });
  const html = readFileSync(join(out, "report.html"), "utf8");
  expect(html.match(/src="data:image\/jpeg;base64,/g)?.length).toBe(2 * (1 + 1 + 2)); // worst, best, and a sample of both
  expect(filesIn(out)).toEqual(["metrics.json", "progress.jsonl", "report.html"]);

  expect(toile([...args, "--protocol", "ladi-vton"])).toMatchObject({
    code: 2,
    err: `toile: --out: ${out} holds metrics.json of catvton, paired: name another folder for ladi-vton, paired\n`,
  });
  expect(metricsOf(out).scores).toEqual(scores);
  const drawn = toile(["evaluate-drawn", "--out", out]);
  expect(drawn.err).toMatch(/holds metrics\.json of catvton, paired: name another folder for drawn people\n$/);
  const other = join(folder, "ladi");
  const ladi = toile([...args, "--protocol", "ladi-vton", "--out", other]);
  expect(ladi).toMatchObject({ code: 0, err: "", out: expect.stringMatching(/^ssim +0\.85\d\d\n/) });
  expect(metricsOf(other).scores["ssim"]).toBeCloseTo(
    mean((pair) => pair["ladi-vton"]["torchmetrics"]!),
    4,
  );
});

test("a damaged picture is named, skipped and counted; the exit code is 1", () => {
  const { folder, args, out } = folders();
  writeFileSync(join(folder, "b/00001_00.png"), readFileSync(join(folder, "b/00001_00.png")).subarray(0, 300));
  copyFileSync(join(folder, "b/00000_00.png"), join(folder, "b/00007_00.png"));
  const ran = toile([...args, "--protocol", "ladi-vton"]);
  expect(ran.code).toBe(1);
  expect(ran.err).toMatch(
    /^toile: 2 of 5 files skipped: .*b\/00001_00\.png: cannot be decoded.*; 00007_00\.png has no reference\n$/,
  );
  expect(ran.out).toMatch(/^ssim /);
  expect(metricsOf(out)).toMatchObject({
    images: [{ name: "00000_00.png" }],
    skipped: [{ file: "00001_00.png" }, { file: "00007_00.png" }],
  });
});

test("Ctrl-C keeps what was measured, and the next run goes on; so it does after a torn line", async () => {
  const { args, out } = folders(3);
  const journal = join(out, "progress.jsonl");
  const lines = () => (existsSync(journal) ? readFileSync(journal, "utf8").split("\n").length - 1 : 0);
  const child = startToile([...args, "--protocol", "ladi-vton"]);
  let said = "";
  child.stderr!.on("data", (data: Buffer) => void (said += data.toString()));
  const timer = setInterval(() => lines() >= 1 && child.kill("SIGINT"), 10); // each takes a good part of a second
  const [code] = (await once(child, "close")) as [number];
  clearInterval(timer);
  expect({ code, said }).toEqual({ code: 130, said: `toile: interrupted, what was measured is kept in ${journal}\n` });
  expect(existsSync(join(out, "metrics.json"))).toBe(false);
  const before = lines();
  expect(before).toBeLessThan(6);
  appendFileSync(journal, '["pair ladi-vton no'); // as a killed process leaves it
  for (const resumed of [before, 6]) {
    const ran = toile([...args, "--protocol", "ladi-vton", "--json"]);
    expect(ran).toMatchObject({ code: 0, err: "" });
    expect((JSON.parse(ran.out) as Metrics).counts).toMatchObject({ measured: 6 - resumed, resumed });
  }
  expect(lines()).toBe(6 + 1); // and what was torn
});

test("bad arguments and folders", () => {
  const { folder, args, out } = folders();
  const none = join(folder, "none");
  mkdirSync(none);
  const cases: [string[], number, RegExp][] = [
    [["evaluate"], 2, /--generated is needed; --reference is needed; --protocol is not one of ladi-vton, catvton/],
    [[...args, "--protocol", "own"], 2, /--protocol "own" is not one of/],
    [[...args, "--protocol", "catvton", "--order", "unpaired"], 2, /--inception is needed/],
    [[...args, "--protocol", "catvton", "--lpips", "x"], 2, /--lpips-weights is needed with --lpips/],
    [[...args, "--protocol", "catvton", "--reference", none], 1, /none: there is no picture in it/],
    [[...args, "--protocol", "catvton", "--generated", join(none, "x")], 1, /x: no such file or folder/],
    [[...args, "--protocol", "catvton", "--inception", none], 1, /none: /],
    [[...args, "--protocol", "catvton", "--out", "/proc/x"], 1, /cannot be written: \/proc/],
  ];
  for (const [given, code, says] of cases) {
    const ran = toile(given);
    expect(ran.err).toMatch(says);
    expect(ran.err.trimEnd().split("\n")).toHaveLength(1);
    expect(ran).toMatchObject({ code, out: "" });
  }
  expect(existsSync(out)).toBe(false);
});
