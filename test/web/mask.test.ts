import { expect, test } from "vitest";
import { guessMask, Mask } from "../../web/mask.ts";

const blank = (width: number, height: number) => new Mask({ width, height, data: new Uint8Array(width * height) });
/** Rows of # and dots. */
const shown = ({ width, data }: Mask) =>
  Array.from({ length: data.length / width }, (_, y) =>
    Array.from(data.subarray(y * width, (y + 1) * width), (value) => (value === 0 ? "." : "#")).join(""),
  );

test("a dab is a disc, a stroke a capsule, and what changed lies in the rectangle", () => {
  const mask = blank(9, 5);
  const rect = mask.stroke({ x: 2.5, y: 2.5 }, { x: 6.5, y: 2.5 }, 1.5, 255);
  expect(shown(mask)).toEqual([".........", ".#######.", ".#######.", ".#######.", "........."]);
  expect(rect).toEqual({ left: 1, top: 1, right: 9, bottom: 5 });
  mask.stroke({ x: 4.5, y: 2.5 }, { x: 4.5, y: 2.5 }, 1, 0);
  expect(shown(mask)).toEqual([".........", ".###.###.", ".##...##.", ".###.###.", "........."]);
});

test("a stroke beyond the rim stays inside", () => {
  const mask = blank(4, 3);
  expect(mask.stroke({ x: -3, y: -3 }, { x: 9, y: 9 }, 50, 255)).toEqual({ left: 0, top: 0, right: 4, bottom: 3 });
  expect(mask.share).toBe(1);
});

test("undo and redo, and what is done anew ends redo", () => {
  const mask = blank(3, 1);
  const dab = (x: number, value: 0 | 255) => {
    mask.begin();
    mask.stroke({ x: x + 0.5, y: 0.5 }, { x: x + 0.5, y: 0.5 }, 0.4, value);
  };
  dab(0, 255);
  dab(1, 255);
  mask.undo();
  expect(shown(mask)).toEqual(["#.."]);
  mask.redo();
  expect([shown(mask), mask.canRedo]).toEqual([["##."], false]);
  mask.undo();
  dab(2, 255);
  expect([shown(mask), mask.canRedo]).toEqual([["#.#"], false]);
  mask.replace(new Uint8Array(3));
  mask.undo();
  mask.undo();
  mask.undo();
  mask.undo(); // one more than there is
  expect([shown(mask), mask.canUndo]).toEqual([["..."], false]);
});

test("greys become black or white at the try-on's threshold, and the caller's bytes are left alone", () => {
  const data = Uint8Array.of(126, 127, 200);
  const mask = new Mask({ width: 3, height: 1, data });
  mask.stroke({ x: 0.5, y: 0.5 }, { x: 0.5, y: 0.5 }, 0.4, 255);
  expect([shown(mask), [...data]]).toEqual([["###"], [126, 127, 200]]);
});

test.for(["upperbody", "lowerbody", "dress"] as const)(
  "the first guess for %s paints some and keeps some",
  (category) => {
    for (const [width, height] of [
      [384, 512],
      [512, 384],
      [64, 64],
    ] as const) {
      // prettier-ignore
      const { share, data } = new Mask(guessMask(width, height, category));
      expect(share).toBeGreaterThan(0.1);
      expect(share).toBeLessThan(0.6);
      expect(data.subarray(0, width).every((value) => value === 0)).toBe(true); // never the top of a head
    }
  },
);
