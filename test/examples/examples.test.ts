import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { filesIn, root, scratch } from "../cli/run.ts";

const examples = ["", "fusion/"].flatMap((folder) =>
  readdirSync(join(root, "examples", folder)).flatMap((name) => (name.endsWith(".js") ? [`${folder}${name}`] : [])),
);

/** What an example's output must hold. */
const SAYS: Readonly<Record<string, RegExp>> = {
  "kernel.js": /^sum 1\.5929\noff by \S+e-[5-9], its gradient by \S+e-[5-9]\n$/,
  "train.js": /^step 0: loss 0\.\d+\n(.*\n){2}step 300: loss 0\.000\d\d\n$/,
  "ops.js": /^shape \[1,6,32\], first values -?\d/,
  "scheduler.js": /^10 DDIM steps end 0\.0000 from the answer/,
  "fusion/own-strategy.js":
    /concat\.png \n.*masked\.png \n.*gated\.png the fusion "gated" runs with weights that were not/,
  "fusion/heat-map.js": /^block 0, timestep 999, 16x24: 0\.\d+\n(.*\n){12}block 6, timestep \d+, 16x24: 0\.\d+\n$/,
  "fusion/two-garments.js": /two-concat\.png\n.*two-masked\.png\n$/,
  "text-to-image.js": /text\.png\n.*image\.png\n.*inpaint\.png/,
  "try-on.js": /striped-shirt\.png\n.*dotted-dress\.png/,
};

test.for(examples)("%s runs as it stands, is short, and uses the public entry points", (name) => {
  const file = join(root, "examples", name);
  const text = readFileSync(file, "utf8");
  expect(text.trimEnd().split("\n").length).toBeLessThan(60);
  expect(
    [...text.matchAll(/from "([^"]+)"/g)].filter(([, from]) => !/^(toile|toile\/node|node:.*)$/.test(from!)),
  ).toEqual([]);
  const folder = scratch();
  const { status, stdout } = spawnSync(process.execPath, [file, folder], { encoding: "utf8", cwd: root });
  expect(status).toBe(0);
  expect(stdout).toMatch(SAYS[name]!);
  if (name === "try-on.js") expect(filesIn(folder)).toEqual(["dotted-dress.png", "striped-shirt.png"]);
});
