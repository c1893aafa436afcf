import { expect, test } from "vitest";
import { enlarged, heatMap } from "../../src/vision/heat_map.ts";

const black = (width: number, height: number) => ({ width, height, data: new Uint8Array(3 * width * height) });

test("a grid is enlarged by lines between its cells' middles", () => {
  const grid = { width: 2, height: 1, values: [0, 4] };
  expect([...enlarged(grid, 4, 2)]).toEqual([0, 1, 3, 4, 0, 1, 3, 4]);
  expect([...enlarged({ width: 1, height: 1, values: [7] }, 3, 1)]).toEqual([7, 7, 7]);
  const checks = { width: 3, height: 5, values: Array.from({ length: 15 }, (_, i) => i * i) };
  expect([...enlarged(checks, 3, 5)]).toEqual(checks.values);
});

test("hotter is lighter, the coldest is dark, and the scale may be given", () => {
  const grid = { width: 4, height: 1, values: [0, 1, 2, 4] };
  const light = (most?: number) => {
    const { data } = heatMap(grid, black(4, 1), most);
    return [0, 1, 2, 3].map((i) => data[3 * i]! + data[3 * i + 1]! + data[3 * i + 2]!);
  };
  const found = light();
  expect(found[0]).toBeLessThan(10);
  for (const i of [1, 2, 3]) expect(found[i]).toBeGreaterThan(found[i - 1]!);
  expect(light(8)[3]).toBe(light(4)[2]); // half of the scale is half of the scale
  expect(heatMap({ ...grid, values: [0, 0, 0, 0] }, black(4, 1)).data.some((value) => value > 10)).toBe(false);
  expect(() => heatMap({ ...grid, height: 2 }, black(4, 2))).toThrow("heatMap: 4 numbers for a grid of 4x2");
});

test("the picture shows through, in grey", () => {
  const white = { width: 1, height: 1, data: Uint8Array.from([255, 0, 0]) };
  const [r, g, b] = heatMap({ width: 1, height: 1, values: [0] }, white, 1).data;
  expect([r! - g!, Math.abs(g! - b!)].every((difference) => difference <= 2)).toBe(true);
  expect(r).toBeGreaterThan(40);
});
