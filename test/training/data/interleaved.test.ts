import { expect, test } from "vitest";
import { interleaved } from "../../../src/training/data/dataset.ts";
import { drawnDataset } from "../../../src/training/data/drawn.ts";

test("sets in turn, as many of each as the shortest has", async () => {
  const shared = { seed: 3, width: 48, height: 64 };
  const tops = drawnDataset({ ...shared, categories: ["upperbody"], length: 5 });
  const dresses = drawnDataset({ ...shared, categories: ["dress"], length: 3 });
  const both = interleaved([tops, dresses]);
  expect(both.length).toBe(6);
  expect(interleaved([tops, dresses], 5).length).toBe(5);
  const categories: string[] = [];
  for (let i = 0; i < both.length; i++) categories.push((await both.get(i)).category);
  expect(categories).toEqual(["upperbody", "dress", "upperbody", "dress", "upperbody", "dress"]);
  expect((await both.get(4)).names).toEqual((await tops.get(2)).names);
});
