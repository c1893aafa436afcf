import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readMask } from "../../src/node/images.ts";
import { agnosticMask } from "../../src/vision/agnostic.ts";
import { fixture } from "../helpers.ts";

interface Case {
  readonly parse: string;
  readonly keypoints: readonly (readonly [number, number])[];
}
const CASES = JSON.parse(readFileSync(fixture("masks/index.json"), "utf8")) as readonly Case[];
const KINDS = [
  ["hd", "upperbody", "upper_body"],
  ["dc", "upperbody", "upper_body"],
  ["dc", "lowerbody", "lower_body"],
  ["dc", "dress", "dresses"],
] as const;

describe("against get_mask_location", () => {
  // The polygon's rim is all that may differ; so far every mask is equal.
  test.each(KINDS)("%s, %s: every pixel of 12 masks", async (model, category, name) => {
    for (const [i, { parse, keypoints }] of CASES.entries()) {
      const expected = await readMask(fixture(`masks/${String(i).padStart(2, "0")}.${model}.${name}.png`));
      const pose = keypoints.map(([x, y]) => ({ x, y }));
      const mask = agnosticMask(await readMask(fixture(`masks/${parse}`)), pose, { model, category });
      expect(Buffer.compare(mask.data, expected.data), parse).toBe(0);
    }
  });
});
