import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { filesIn, toile } from "./run.ts";

const folder = mkdtempSync(join(tmpdir(), "toile-test-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Summary {
  readonly cells: readonly { fusion: string; scale: number; steps: number; ssim: number; psnrInside: number }[];
  readonly made: number;
  readonly resumed: number;
  readonly report: string;
}

test("toile ablate: a grid over pairs on one page, going on where it was, with a strategy of one's own", () => {
  writeFileSync(
    at("own.mjs"),
    'import { selfOnly } from "toile";\nexport default { name: "own", fuse: () => selfOnly };\n',
  );
  mkdirSync(at("other"));
  writeFileSync(at("other/own.mjs"), readFileSync(at("own.mjs")));
  const run = (fusion: string, says = ""): Summary => {
    const small = ["--drawn", "1", "--width", "64", "--height", "64", "--steps", "1,2", "--scale", "0.5"];
    const { code, out, err } = toile(["ablate", ...small, "--fusion", fusion, "--out", at("out"), "--json"]);
    expect([code, err.slice(0, says.length || undefined)]).toEqual([0, says]);
    return JSON.parse(out) as Summary;
  };
  const first = run("concat");
  expect([first.made, first.resumed]).toEqual([2, 0]);
  const second = run(`concat,${at("own.mjs")},none`);
  expect([second.made, second.resumed]).toEqual([4, 2]);
  const names = second.cells.map(({ fusion, scale, steps }) => `${fusion} ${scale} ${steps}`);
  expect(names).toEqual(["concat 0.5 1", "concat 0.5 2", "own.mjs 0.5 1", "own.mjs 0.5 2", "none 0.5 1", "none 0.5 2"]);
  expect(second.cells.slice(0, 2)).toEqual(first.cells);
  const scores = second.cells.map(({ ssim, psnrInside }) => [ssim, psnrInside]);
  expect(scores.slice(2, 4)).toEqual(scores.slice(4)); // the file's strategy does what none does
  expect(scores[0]).not.toEqual(scores[2]);
  expect(scores.every(([ssim, inside]) => ssim! > 0 && ssim! < 1 && inside! > 0)).toBe(true);
  const page = readFileSync(second.report, "utf8");
  expect([...page.matchAll(/<img alt="" src="data:image\/jpeg;base64,/g)]).toHaveLength(3 + 6);
  expect([...page.matchAll(/(src|href)="(?!data:)/g)]).toEqual([]); // needs no other file
  const pictures = filesIn(at("out/pictures"));
  expect(pictures.map((name) => name.replace(/-[0-9a-f]{8}\.png$/, ""))).toEqual(
    names.map((name) => `0-${name.replaceAll(" ", "-")}`).sort(),
  );
  const alike = run(`${at("own.mjs")},${at("other/own.mjs")}`); // two files of one name, and of one content here
  expect(alike).toMatchObject({ made: 0, resumed: 4 });
  expect(new Set(alike.cells.map(({ fusion }) => fusion))).toEqual(new Set([at("own.mjs"), at("other/own.mjs")]));
  rmSync(at(`out/pictures/${pictures.find((name) => name.startsWith("0-none-0.5-2"))!}`));
  expect(run("none")).toMatchObject({ made: 1, resumed: 1 });
  expect(filesIn(at("out/pictures"))).toEqual(pictures);
  for (const known of [0, 2]) {
    const untrained = run(
      "cross-attention",
      'toile: note: the fusion "cross-attention" runs with weights that were not',
    );
    expect(untrained.resumed).toBe(known);
    expect(readFileSync(untrained.report, "utf8")).toContain("runs with weights that were not trained");
  }
});

test("says what it cannot compare, before anything is loaded", () => {
  const refused = (...args: string[]) => toile(["ablate", "--out", at("no"), ...args]);
  expect(refused()).toMatchObject({ code: 2, err: expect.stringContaining("--dataset-dir or --drawn is needed") as string }); // prettier-ignore
  expect(refused("--drawn", "1", "--steps", "2,x").err).toContain("--steps");
  expect(refused("--drawn", "1", "--fusion", "concat,none,concat").err).toContain("names concat twice");
  expect(refused("--drawn", "1", "--scale", "1,1.0").err).toContain("names 1 twice");
  expect(refused("--drawn", "1", "--fusion", "best").err).toContain('"best" is none of concat');
});
