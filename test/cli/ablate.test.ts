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
  const run = (fusion: string): Summary => {
    const small = ["--drawn", "1", "--width", "64", "--height", "64", "--steps", "1,2", "--scale", "0.5"];
    const { code, out, err } = toile(["ablate", ...small, "--fusion", fusion, "--out", at("out"), "--json"]);
    expect([code, err]).toEqual([0, ""]);
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
  expect(filesIn(at("out"))).toEqual([...names.map((name) => `0-${name.replaceAll(" ", "-")}.png`), "progress.jsonl", "report.html", "results.json"].sort()); // prettier-ignore
  const alike = run(`${at("own.mjs")},${at("other/own.mjs")}`); // two files of one name, and of one content here
  expect(alike).toMatchObject({ made: 0, resumed: 4 });
  expect(new Set(alike.cells.map(({ fusion }) => fusion))).toEqual(new Set([at("own.mjs"), at("other/own.mjs")]));
  rmSync(at("out/pictures/0-none-0.5-2.png"));
  expect(run("none")).toMatchObject({ made: 1, resumed: 1 });
  expect(filesIn(at("out"))).toContain("0-none-0.5-2.png");
});

test("says what it cannot compare, before anything is loaded", () => {
  const refused = (...args: string[]) => toile(["ablate", "--out", at("no"), ...args]);
  expect(refused()).toMatchObject({ code: 2, err: expect.stringContaining("--dataset-dir or --drawn is needed") as string }); // prettier-ignore
  expect(refused("--drawn", "1", "--steps", "2,x").err).toContain("--steps");
  expect(refused("--drawn", "1", "--fusion", "concat,none,concat").err).toContain("names concat twice");
  expect(refused("--drawn", "1", "--scale", "1,1.0").err).toContain("names 1 twice");
  expect(refused("--drawn", "1", "--fusion", "best").err).toContain('"best" is none of concat');
});
