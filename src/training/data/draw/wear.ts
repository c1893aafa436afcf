import type { Point } from "../../../vision/point.ts";
import type { Stream } from "../random.ts";
import { darker } from "./colour.ts";
import { WAIST, type Cut, type Garment } from "./garment.ts";
import {
  limbLocator,
  pelvisWidth,
  radiusAt,
  skirtWidth,
  sleeveRadii,
  topWidth,
  trouserRadii,
  type OnLimb,
  type Radii,
  type Width,
} from "./measure.ts";
import { MANNEQUIN, onTorso, SIDES, SPINE, type Limb, type Side, type Skeleton } from "./pose.ts";
import type { Paint, Path, Shader } from "./raster.ts";
import { between, capsule, distance, ellipse, lerp, stroke, turned, type Ring } from "./shapes.ts";
import { samplerOf, type Part } from "./texture.ts";

/** One shape of a garment. */
export interface Layer {
  readonly part: Part | "inside" | "detail";
  readonly paths: readonly Path[];
  readonly paint: Paint;
  readonly opacity?: number;
}

/** A soft dark line in the cloth, in half widths across and spines down. */
export interface Fold {
  readonly from: Point;
  readonly to: Point;
}

/** Folds of a garment that somebody wears: around waist and arms. */
export function drawFolds(stream: Stream): Fold[] {
  return Array.from({ length: 5 }, () => {
    const side = stream.pick([-1, 1]);
    const down = stream.between(0.2, 1);
    const from = { x: side * stream.between(0.75, 1), y: down };
    return { from, to: { x: side * stream.between(0.1, 0.5), y: down + stream.between(-0.12, 0.2) } };
  });
}

/** What a garment is drawn with besides its own: on whom, how finely, and how the cloth falls. */
export interface Wearing {
  readonly skeleton: Skeleton;
  /** Frame units that a pixel spans. */
  readonly footprint: number;
  readonly folds: readonly Fold[];
}

/** How bright cloth is, by its place across a part that bends away at its edges (-1…1). */
function roundness(across: number): number {
  const square = across * across;
  const fourth = square * square;
  return 1.04 - 0.12 * square - 0.2 * fourth * fourth;
}

function foldShade(folds: readonly Fold[], across: number, down: number): number {
  let shade = 1;
  for (const { from, to } of folds) {
    const dx = to.x - from.x;
    const dy = to.y - from.y;
    const t = Math.min(1, Math.max(0, ((across - from.x) * dx + (down - from.y) * dy) / (dx * dx + dy * dy)));
    const ox = across - from.x - t * dx;
    const oy = (down - from.y - t * dy) * 3;
    const away = (ox * ox + oy * oy) / 0.02;
    if (away < 1) shade -= 0.12 * (1 - away) * (1 - away) * (1 - 0.5 * t);
  }
  return shade;
}

/** Cloth around the torso: the flat garment's texture, stretched to the body's width at each height. */
function torsoCloth(garment: Garment, { skeleton, footprint, folds }: Wearing, width: Width, flat: Width): Shader {
  const { neck, across, axis, spine } = skeleton;
  const sample = samplerOf(garment.texture, "torso", footprint);
  return (x, y, out) => {
    const dx = x - neck.x;
    const dy = y - neck.y;
    const down = (dx * axis.x + dy * axis.y) / spine;
    const share = (dx * across.x + dy * across.y) / width(down);
    sample(share * flat(down), down * SPINE, out);
    const light = roundness(share) * foldShade(folds, share, down);
    for (let c = 0; c < 3; c++) out[c]! *= light;
  };
}

interface Cloth {
  readonly limb: Limb;
  readonly radii: Radii;
  readonly flatLimb: Limb;
  readonly flatRadii: Radii;
  /** Where the limb's axis lies on the cloth. */
  readonly origin: Point;
}

/** Cloth around a limb: the texture runs along it, bent where it bends. */
function limbCloth(garment: Garment, part: Part, cloth: Cloth, footprint: number): Shader {
  const { limb, radii, flatLimb, flatRadii, origin } = cloth;
  const sample = samplerOf(garment.texture, part, footprint);
  const locate = limbLocator(limb);
  const place: OnLimb = { along: 0, aside: 0 };
  const upper = distance(flatLimb.root, flatLimb.middle);
  const lower = distance(flatLimb.middle, flatLimb.end);
  return (x, y, out) => {
    locate(x, y, place);
    const { along } = place;
    const share = place.aside / radiusAt(radii, along);
    const down = along < 1 ? along * upper : upper + (along - 1) * lower;
    sample(origin.x - share * radiusAt(flatRadii, along), origin.y + down, out);
    const light = roundness(share);
    for (let c = 0; c < 3; c++) out[c]! *= light;
  };
}

/** A piece of a tube with straight ends. */
function tube(a: Ring, b: Ring): Path {
  const length = distance(a, b) || 1;
  const [nx, ny] = [-(b.y - a.y) / length, (b.x - a.x) / length];
  const at = ({ x, y, radius }: Ring, side: number) => ({ x: x + side * radius * nx, y: y + side * radius * ny });
  return turned([at(a, 1), at(b, 1), at(b, -1), at(a, -1)]);
}

/** A tube along a limb that ends straight at `end` (0…2), round at root and middle. */
function limbTube({ root, middle, end }: Limb, radii: Radii, until: number): Path[] {
  const ring = (point: Point, along: number): Ring => ({ ...point, radius: radiusAt(radii, along) });
  const round = (at: Ring) => ellipse(at, at.radius, at.radius);
  const first = ring(root, 0);
  if (until <= 1) return [round(first), tube(first, ring(between(root, middle, until), until))];
  const second = ring(middle, 1);
  return [capsule(first, second), tube(second, ring(between(middle, end, until - 1), until))];
}

/** The end of a limb's tube as a band. */
function cuff({ root, middle, end }: Limb, radii: Radii, until: number, width: number): Path[] {
  const [a, b, t] = until <= 1 ? [root, middle, until] : [middle, end, until - 1];
  const start = t - width / distance(a, b);
  const ring = (share: number): Ring => ({ ...between(a, b, share), radius: 0.5 + radiusAt(radii, until - t + share) });
  return [tube(ring(start), ring(t))];
}

/** Half the opening, and the lowest place, of necklines: across in frame units, down in spines. */
const NECKS = {
  round: { across: 17, down: 0.09, square: 2 },
  deep: { across: 19, down: 0.19, square: 2 },
  v: { across: 17, down: 0.22, square: 1 },
  boat: { across: 25, down: 0.05, square: 2 },
  high: { across: 12.5, down: -0.13, square: 2 },
} as const;

/** Where the shoulders begin beside the neck, in spines below it. */
const COLLAR = -0.045;

/** The neckline from the picture's left to its right. */
function neckline(skeleton: Skeleton, cut: Cut): Point[] {
  const { across, down, square } = NECKS[cut.neckline];
  const { scale, spine } = skeleton;
  const top = cut.neckline === "high" ? down : COLLAR;
  return Array.from({ length: 13 }, (_, i) => {
    const side = i / 6 - 1;
    const depth = 1 - Math.abs(side) ** square;
    return onTorso(skeleton, side * across * scale, lerp(top, down + (top === down ? 0.03 : 0), depth) * spine);
  });
}

/** From the neckline over the shoulders down the sides to the hem. */
function bodice(skeleton: Skeleton, cut: Cut, width: Width): Path {
  const { scale, spine } = skeleton;
  const bare = cut.sleeve === "none";
  const shoulder = bare ? 31 * scale * lerp(1, skeleton.build, 0.7) : width(0.03) - 3 * scale;
  /** Half widths and heights below the shoulder: straight down a sleeve's seam, or around an armhole. */
  const under: [number, number][] = bare
    ? [
        [shoulder, 0.13],
        [0.94 * width(0.24), 0.24],
        [width(0.3), 0.3],
      ]
    : [[width(0.05), 0.05]];
  const sides = [...under, ...steps(0.36, cut.hem).map((height): [number, number] => [width(height), height])];
  const edge = (side: number) => [
    ...(cut.neckline === "high" ? [onTorso(skeleton, side * 17 * scale, COLLAR * spine)] : []),
    onTorso(skeleton, side * shoulder, -0.01 * spine),
    ...sides.map(([half, height]) => onTorso(skeleton, side * half, height * spine)),
  ];
  return turned([...neckline(skeleton, cut), ...edge(1), ...hemline(skeleton, cut.hem, width), ...edge(-1).reverse()]);
}

const steps = (from: number, to: number) => Array.from({ length: 13 }, (_, i) => lerp(from, to, i / 12));

/** A hem sags a little in the middle, from the picture's right to its left. */
const hemline = (skeleton: Skeleton, hem: number, width: Width): Point[] =>
  [0.66, 0.33, 0, -0.33, -0.66].map((side) =>
    onTorso(skeleton, side * width(hem), (hem + 0.03 * (1 - side * side)) * skeleton.spine),
  );

function skirtPath(skeleton: Skeleton, cut: Cut, width: Width): Path {
  const edge = (side: number) =>
    steps(WAIST, cut.hem).map((height) => onTorso(skeleton, side * width(height), height * skeleton.spine));
  return turned([...edge(1), ...hemline(skeleton, cut.hem, width), ...edge(-1).reverse()]);
}

function band(skeleton: Skeleton, from: number, to: number, width: Width): Path {
  const at = (side: number, height: number) => onTorso(skeleton, side * (width(height) + 0.5), height * skeleton.spine);
  return turned([at(-1, from), at(1, from), at(1, to), at(-1, to)]);
}

/** The shapes of a garment, in the order in which they lie on each other; sleeves last. */
export function garmentLayers(garment: Garment, wearing: Wearing): Layer[] {
  if (garment.kind === "trousers") return trouserLayers(garment, wearing);
  const { cut, kind, texture } = garment;
  const { skeleton } = wearing;
  const measure = kind === "top" ? topWidth : skirtWidth;
  const width = measure(skeleton, cut);
  const paint = torsoCloth(garment, wearing, width, measure(MANNEQUIN, cut));
  const trim = darker(texture.colours[garment.trim ? 1 : 0], garment.trim ? 0 : 0.25);
  if (kind === "skirt")
    return [
      { part: "torso", paths: [skirtPath(skeleton, cut, width)], paint },
      { part: "detail", paths: [band(skeleton, WAIST, WAIST + 0.06, width)], paint: trim },
      ...buttonLayers(garment, skeleton, WAIST + 0.1, Math.min(cut.hem - 0.1, 1.5)),
    ];
  return [
    { part: "torso", paths: [bodice(skeleton, cut, width)], paint },
    { part: "detail", paths: stroke(neckline(skeleton, cut), (garment.trim ? 5 : 3) * skeleton.scale), paint: trim },
    ...buttonLayers(garment, skeleton, Math.max(0.08, NECKS[cut.neckline].down + 0.06), Math.min(0.95, cut.hem - 0.05)),
    ...SIDES.flatMap((side) => sleeveLayers(garment, wearing, side, trim)),
  ];
}

function buttonLayers({ buttons, texture }: Garment, skeleton: Skeleton, from: number, to: number): Layer[] {
  if (!buttons) return [];
  const at = (down: number) => onTorso(skeleton, 0, down * skeleton.spine);
  const line = stroke([at(from - 0.04), at(to + 0.06)], 1.2 * skeleton.scale);
  const discs = Array.from({ length: 5 }, (_, i) =>
    ellipse(at(lerp(from, to, i / 4)), 2.6 * skeleton.scale, 2.6 * skeleton.scale),
  );
  return [
    { part: "detail", paths: line, paint: darker(texture.colours[0], 0.4), opacity: 0.6 },
    { part: "detail", paths: discs, paint: texture.colours[2] },
  ];
}

/** How far along the arm sleeves reach: 1 is the elbow, 2 the wrist. */
const REACH = { none: 0, short: 0.66, long: 1.97 } as const;

function sleeveLayers(garment: Garment, wearing: Wearing, side: Side, trim: Paint): Layer[] {
  const { cut } = garment;
  if (cut.sleeve === "none") return [];
  const { skeleton, footprint } = wearing;
  const [limb, flatLimb] = [skeleton.arms[side], MANNEQUIN.arms[side]];
  const [radii, flatRadii] = [sleeveRadii(skeleton, cut), sleeveRadii(MANNEQUIN, cut)];
  const cloth = { limb, radii, flatLimb, flatRadii, origin: { x: 0, y: 0 } };
  const layer = { paths: limbTube(limb, radii, REACH[cut.sleeve]), paint: limbCloth(garment, side, cloth, footprint) };
  const end = cuff(limb, radii, REACH[cut.sleeve], (garment.trim ? 7 : 2.5) * skeleton.scale);
  return [
    { part: side, ...layer },
    { part: side, paths: end, paint: trim },
  ];
}

function trouserLayers(garment: Garment, wearing: Wearing): Layer[] {
  const { cut, texture } = garment;
  const { skeleton, footprint } = wearing;
  const width = pelvisWidth(skeleton, cut);
  const pelvis = [
    ...steps(WAIST, 1.02).map((height) => onTorso(skeleton, width(height), height * skeleton.spine)),
    onTorso(skeleton, 0, 1.12 * skeleton.spine),
    ...steps(1.02, WAIST).map((height) => onTorso(skeleton, -width(height), height * skeleton.spine)),
  ];
  const [radii, flatRadii] = [trouserRadii(skeleton, cut), trouserRadii(MANNEQUIN, cut)];
  const until = 2 * cut.legs - 0.04;
  const legs = SIDES.map((side): Layer => {
    const [limb, flatLimb] = [skeleton.legs[side], MANNEQUIN.legs[side]];
    const origin = { x: MANNEQUIN.legs[side].root.x - MANNEQUIN.neck.x, y: SPINE };
    const paint = limbCloth(garment, "torso", { limb, radii, flatLimb, flatRadii, origin }, footprint);
    return { part: side, paths: limbTube(limb, radii, until), paint };
  });
  const trim = darker(texture.colours[garment.trim ? 1 : 0], garment.trim ? 0 : 0.25);
  const seam = stroke(
    [onTorso(skeleton, 0, 0.84 * skeleton.spine), onTorso(skeleton, 0, 1.12 * skeleton.spine)],
    1.4 * skeleton.scale,
  );
  return [
    ...legs,
    { part: "torso", paths: [turned(pelvis)], paint: torsoCloth(garment, wearing, width, pelvisWidth(MANNEQUIN, cut)) },
    { part: "detail", paths: seam, paint: darker(texture.colours[0], 0.5), opacity: 0.6 },
    { part: "detail", paths: [band(skeleton, WAIST, WAIST + 0.055, width)], paint: trim },
  ];
}

/** The back of a neckline, which a flat garment shows from within. */
export function insideNeck({ cut, texture }: Garment): Layer {
  const front = neckline(MANNEQUIN, cut);
  const { x } = MANNEQUIN.neck;
  const reach = front.at(-1)!.x - x;
  const top = front[0]!.y;
  const back = Array.from({ length: 9 }, (_, i) => {
    const side = 1 - i / 4;
    return { x: x + side * reach, y: top - 2 + 7 * (1 - side * side) };
  });
  return { part: "inside", paths: [turned([...front, ...back])], paint: darker(texture.colours[0], 0.45) };
}
