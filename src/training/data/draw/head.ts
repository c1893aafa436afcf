import { LABEL } from "../../../vision/labels.ts";
import type { Point } from "../../../vision/point.ts";
import type { Stream } from "../random.ts";
import { clothColour, darker, hairColour, lighter, mix } from "./colour.ts";
import { FACE, onHead, TURN, type Skeleton } from "./pose.ts";
import type { Canvas, Path, Rgb } from "./raster.ts";
import { curve, ellipse, outline, stroke } from "./shapes.ts";

const STYLES = { crop: 2, parted: 2, quiff: 1, bob: 2, long: 2, bun: 1, curls: 1.5, tail: 1, shaved: 0.5 };
const HATS = { none: 8, beanie: 1, cap: 0.7, sunHat: 0.5 };

export interface Head {
  readonly skin: Rgb;
  readonly hair: Rgb;
  readonly style: keyof typeof STYLES;
  readonly hat: keyof typeof HATS;
  readonly hatColour: Rgb;
  readonly eyes: Rgb;
  readonly glasses: "none" | "clear" | "dark";
  readonly beard: boolean;
  /** How far the corners of the mouth are drawn up. */
  readonly smile: number;
}

const EYES: readonly Rgb[] = [
  [0.25, 0.15, 0.08],
  [0.35, 0.22, 0.1],
  [0.2, 0.35, 0.5],
  [0.25, 0.42, 0.28],
];

export function drawHead(stream: Stream, skin: Rgb): Head {
  const style = stream.weighted(STYLES);
  return {
    skin,
    style,
    hair: hairColour(stream),
    hat: stream.weighted(HATS),
    hatColour: clothColour(stream),
    eyes: stream.pick(EYES),
    glasses: stream.weighted({ none: 8, clear: 1, dark: 0.6 }),
    beard: stream.chance(0.18) && (style === "crop" || style === "parted" || style === "quiff" || style === "shaved"),
    smile: stream.between(0, 3.5),
  };
}

type Place = (x: number, y: number) => Point;

/** Hair behind neck and shoulders. */
export function paintBackHair(canvas: Canvas, skeleton: Skeleton, { style, hair }: Head): void {
  const at: Place = (x, y) => onHead(skeleton, x, y);
  const dark = darker(hair, 0.2);
  const fill = (...paths: Path[]) => canvas.fill(paths, dark, { label: LABEL.hair });
  if (style === "long")
    fill(
      curve([
        at(0, -36),
        at(25, -22),
        at(30, 10),
        at(33, 52),
        at(22, 66),
        at(-22, 66),
        at(-33, 52),
        at(-30, 10),
        at(-25, -22),
      ]),
    );
  if (style === "bob")
    fill(curve([at(0, -36), at(27, -20), at(31, 12), at(26, 31), at(-26, 31), at(-31, 12), at(-27, -20)]));
  if (style === "tail")
    fill(curve([at(12, -34), at(30, -30), at(38, 0), at(34, 34), at(27, 46), at(24, 20), at(22, -10)]));
}

/** Everything of a head but the hair behind it. */
export function paintHead(canvas: Canvas, skeleton: Skeleton, head: Head): void {
  const at: Place = (x, y) => onHead(skeleton, x, y);
  const shift = TURN * skeleton.head.turn;
  const { skin } = head;
  const { scale } = skeleton;
  const ear = (side: number) => ellipse(at(side * FACE.across - shift / 2, 2), 4.5 * scale, 7 * scale);
  canvas.fill([ear(1), ear(-1)], darker(skin, 0.1), { label: LABEL.face });
  const jaw = [at(0, -31), at(17, -25), at(23.5, -6), at(20.5, 12), at(11, 25.5), at(0, 30)];
  const face = curve([...jaw, at(-11, 25.5), at(-20.5, 12), at(-23.5, -6), at(-17, -25)]);
  canvas.fill([face], skin, { label: LABEL.face });
  const features: Place = (x, y) => at(x + shift, y);
  if (head.beard) paintBeard(canvas, features, head.hair);
  paintFeatures(canvas, features, head, scale);
  paintHair(canvas, at, head, scale);
  if (head.hat !== "none") paintHat(canvas, at, head, scale);
  if (head.glasses !== "none") paintGlasses(canvas, features, head.glasses, scale);
}

function paintBeard(canvas: Canvas, at: Place, hair: Rgb): void {
  const beard = curve([
    at(-20, 4),
    at(-15, 9),
    at(-8, 10.5),
    at(0, 10),
    at(8, 10.5),
    at(15, 9),
    at(20, 4),
    at(17, 19),
    at(9, 28.5),
    at(0, 31),
    at(-9, 28.5),
    at(-17, 19),
  ]);
  canvas.fill([beard], hair, { opacity: 0.8 });
}

function paintFeatures(canvas: Canvas, at: Place, { skin, hair, eyes, smile }: Head, scale: number): void {
  const disc = (x: number, y: number, rx: number, ry = rx) => ellipse(at(x, y), rx * scale, ry * scale, 0, 20);
  const both = (shape: (side: number) => Path[]) => [...shape(1), ...shape(-1)];
  canvas.fill(
    both((side) => [disc(side * 13, 9, 5, 3.5)]),
    [0.85, 0.35, 0.33],
    { opacity: 0.16 },
  );
  canvas.fill(
    both((side) => [disc(side * 8.8, -2, 4.6, 3)]),
    [0.97, 0.97, 0.96],
  );
  canvas.fill(
    both((side) => [disc(side * 8.8, -1.8, 2.5)]),
    eyes,
  );
  canvas.fill(
    both((side) => [disc(side * 8.8, -1.8, 1.3)]),
    [0.04, 0.04, 0.05],
  );
  const lash = (side: number) => stroke([at(side * 4, -3), at(side * 8.5, -5.2), at(side * 13.6, -3)], 1.3 * scale);
  canvas.fill(both(lash), darker(skin, 0.8));
  const brow = (side: number) => stroke([at(side * 4.2, -9.2), at(side * 9, -11), at(side * 14, -9)], 2 * scale);
  canvas.fill(both(brow), darker(mix(hair, skin, 0.15), 0.35));
  canvas.fill(stroke([at(0.5, 0), at(2.6, 7.6), at(-1.2, 8.4)], 1.3 * scale), darker(skin, 0.35), { opacity: 0.8 });
  const lips = curve(
    [
      at(-7, 16 - smile * 0.5),
      at(-2.5, 15),
      at(0, 15.6),
      at(2.5, 15),
      at(7, 16 - smile * 0.5),
      at(3.5, 18.8),
      at(0, 19.6),
      at(-3.5, 18.8),
    ],
    3,
  );
  canvas.fill([lips], mix(skin, [0.72, 0.2, 0.22], 0.5));
  canvas.fill(
    stroke([at(-7, 15.8 - smile * 0.5), at(0, 16.8), at(7, 15.8 - smile * 0.5)], 0.9 * scale),
    darker(skin, 0.6),
    { opacity: 0.7 },
  );
}

/** Hair over the forehead by style, from the picture's left temple over the crown to the right and back. */
function hairline(at: Place, style: Head["style"]): Path[] {
  const crown = [at(-25, 1), at(-27, -14), at(-21, -31), at(-8, -39), at(8, -39), at(21, -31), at(27, -14), at(25, 1)];
  const over = (...front: readonly (readonly [number, number])[]) =>
    curve([...crown, ...front.map(([x, y]) => at(x, y))]);
  switch (style) {
    case "parted":
      return [over([22, -9], [14, -19], [-2, -24], [-8, -22], [-17, -14], [-22, -8])];
    case "quiff":
      return [over([22, -8], [19, -18], [8, -21], [-8, -21], [-19, -18], [-22, -8]), ellipse(at(3, -37), 16, 8, -0.2)];
    case "bob":
      return [over([24, 26], [19, 24], [20, -6], [10, -13], [-10, -13], [-20, -6], [-19, 24], [-24, 26])];
    case "long":
      return [over([25, 16], [20, 2], [17, -12], [2, -25], [0, -25], [-17, -12], [-20, 2], [-25, 16])];
    case "bun":
      return [over([22, -6], [15, -21], [0, -24], [-15, -21], [-22, -6]), ellipse(at(0, -44), 11, 10)];
    case "curls": {
      const curls = Array.from({ length: 11 }, (_, i) => {
        const turn = Math.PI * (0.94 + (1.12 * i) / 10);
        return ellipse(at(27 * Math.cos(turn), -9 + 28 * Math.sin(turn)), 9.5, 9.5, 0, 20);
      });
      return [...curls, over([21, -10], [13, -20], [0, -22], [-13, -20], [-21, -10])];
    }
    case "tail":
      return [over([22, -8], [16, -22], [0, -26], [-16, -22], [-22, -8])];
    case "shaved":
      return [];
    default:
      return [over([22, -7], [18, -17], [7, -18], [-7, -18], [-18, -17], [-22, -7])];
  }
}

function paintHair(canvas: Canvas, at: Place, { style, hair }: Head, scale: number): void {
  const paths = hairline(at, style);
  if (paths.length === 0) return;
  canvas.fill(paths, hair, { label: LABEL.hair });
  const shine = stroke([at(-16, -27), at(-6, -33), at(6, -33.5)], 3 * scale);
  canvas.fill(shine, lighter(hair, 0.35), { opacity: 0.45 });
}

function paintHat(canvas: Canvas, at: Place, { hat, hatColour: colour }: Head, scale: number): void {
  const label = LABEL.hat;
  const dome = (top: number, low: number) =>
    curve([
      at(-27, low),
      at(-26, -25),
      at(-15, top),
      at(0, top - 3),
      at(15, top),
      at(26, -25),
      at(27, low),
      at(0, low + 2),
    ]);
  if (hat === "beanie") {
    canvas.fill([dome(-44, -17)], colour, { label });
    canvas.fill(stroke([at(-25, -17), at(0, -15), at(25, -17)], 9 * scale), darker(colour, 0.2), { label });
    canvas.fill([ellipse(at(0, -50), 7 * scale, 7 * scale)], lighter(colour, 0.4), { label });
    return;
  }
  if (hat === "cap") {
    canvas.fill([dome(-40, -18)], colour, { label });
    canvas.fill(
      [curve([at(-27, -17), at(0, -20), at(27, -17), at(24, -11), at(0, -10), at(-24, -11)])],
      darker(colour, 0.3),
      { label },
    );
    canvas.fill([ellipse(at(0, -27), 6 * scale, 6 * scale)], lighter(colour, 0.6), { label });
    return;
  }
  canvas.fill([ellipse(at(0, -19), 46 * scale, 8.5 * scale)], darker(colour, 0.08), { label });
  canvas.fill([dome(-43, -22)], colour, { label });
  canvas.fill(stroke([at(-26, -24), at(0, -21), at(26, -24)], 5 * scale), darker(colour, 0.45), { label });
}

function paintGlasses(canvas: Canvas, at: Place, kind: "clear" | "dark", scale: number): void {
  const label = LABEL.sunglasses;
  const lens = (side: number) => ellipse(at(side * 9, -1.5), 7.2 * scale, 5.8 * scale, 0, 24);
  const frame: Rgb = [0.1, 0.09, 0.1];
  const bridge = stroke([at(-2.5, -2.5), at(2.5, -2.5)], 1.4 * scale);
  const arm = (side: number) => stroke([at(side * 16, -2.5), at(side * 22, -3)], 1.4 * scale);
  if (kind === "dark") canvas.fill([lens(1), lens(-1)], [0.08, 0.08, 0.1], { label });
  const rims = [lens(1), lens(-1)].flatMap((path) => outline(path, 1.3 * scale));
  canvas.fill([...rims, ...bridge, ...arm(1), ...arm(-1)], frame);
}
