import fc from "fast-check";
import { expect, test } from "vitest";
import { readImage } from "../../src/node/images.ts";
import { inspectInputs } from "../../src/vision/inspect.ts";
import { fixture } from "../helpers.ts";
import { boxMask, noise, painted, plain, side } from "./pictures.ts";

const size = { width: 48, height: 64 };
const WHITE = [250, 250, 250] as const;
const person = plain(60, 80, [90, 90, 90]);
const garment = painted(plain(60, 80, WHITE), [10, 10, 50, 70], [200, 0, 0]);
const mask = boxMask(60, 80, [10, 20, 50, 60]);

test("nothing to say about good inputs", () => {
  expect(inspectInputs({ person, garment, mask, ...size })).toEqual([]);
  expect(inspectInputs({ person: plain(61, 80, WHITE), garment, ...size })).toEqual([]); // 1.6 % off
});

test("the person's shape, and what happens to it", () => {
  const wide = plain(160, 90, WHITE);
  const start = "the person's picture is 160x90, not 3:4: ";
  expect(inspectInputs({ person: wide, garment, ...size })).toEqual([
    `${start}a border above and below fills 58 % of the frame`,
  ]);
  expect(inspectInputs({ person: wide, garment, ...size, fit: "crop" })).toEqual([`${start}58 % of it is cut off`]);
  expect(inspectInputs({ person: wide, garment, ...size, fit: "stretch" })).toEqual([`${start}it is narrowed to 42 %`]);
  const tall = plain(90, 160, WHITE);
  expect(inspectInputs({ person: tall, garment, ...size })).toEqual([
    "the person's picture is 90x160, not 3:4: a border beside it fills 25 % of the frame",
  ]);
  expect(inspectInputs({ person: tall, garment, ...size, fit: "stretch" })).toEqual([
    "the person's picture is 90x160, not 3:4: it is flattened to 75 %",
  ]);
  expect(inspectInputs({ person, garment, width: 32, height: 80 })[0]).toBe(
    "the person's picture is 60x80, not 2:5: a border above and below fills 47 % of the frame",
  );
});

test("pictures smaller than the output", () => {
  expect(inspectInputs({ person, garment })).toEqual([
    "the person's picture is 60x80, smaller than the output of 768x1024: it is enlarged 12.8 times",
    "the garment's picture is 60x80, smaller than the output of 768x1024: it is enlarged 12.8 times",
  ]);
});

test("a mask along the picture's border", () => {
  expect(inspectInputs({ person, garment, mask: boxMask(60, 80, [0, 40, 30, 80]), ...size })).toEqual([
    "the person is cut off: the mask touches the picture's border: left (50 % of it), bottom (50 % of it)",
  ]);
  expect(inspectInputs({ person, garment, mask: boxMask(60, 80, [59, 0, 60, 1]), ...size })).toEqual([]); // a corner
});

test("the garment's background and how it fills its picture", async () => {
  const small = painted(plain(60, 80, WHITE), [20, 30, 40, 60], [200, 0, 0]);
  expect(inspectInputs({ person, garment: small, ...size })).toEqual([
    "the garment does not fill its picture: 33 % of the width, 38 % of the height",
  ]);
  expect(inspectInputs({ person, garment: small, ...size, trimGarment: true })).toEqual([]);
  expect(inspectInputs({ person, garment: plain(60, 80, WHITE), ...size })).toEqual([
    "the garment does not fill its picture: 0 % of the width, 0 % of the height",
  ]);
  const coffee = await readImage(fixture("images/coffee.png"));
  for (const trimGarment of [false, true])
    expect(inspectInputs({ person, garment: coffee, ...size, trimGarment, garmentFit: "stretch" })).toEqual([
      "the garment's picture is 600x400, not 3:4: it is narrowed to 50 %",
      "the garment's background is not plain: at the picture's border colours differ by 139 levels",
    ]);
});

test("whatever the pictures: one line each, at most one of a kind", () => {
  const sizes = fc.record({ width: side, height: side });
  fc.assert(
    fc.property(sizes, sizes, sizes, (a, b, c) => {
      const warnings = inspectInputs({
        person: noise(a.width, a.height),
        garment: noise(b.width, b.height),
        mask: noise(c.width, c.height, 1),
        ...size,
      });
      expect(warnings.length).toBeLessThanOrEqual(6);
      expect(new Set(warnings).size).toBe(warnings.length);
      for (const warning of warnings) expect(warning).toMatch(/^the [^\n]{20,200}$/);
      for (const warning of warnings) expect(warning).not.toMatch(/NaN|undefined|Infinity/);
    }),
  );
});
