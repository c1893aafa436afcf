import type { Point } from "../../../vision/point.ts";
import { WAIST, type Cut } from "./garment.ts";
import { HIP, outward, SIDES, type Limb, type Skeleton } from "./pose.ts";
import { distance, lerp, smooth } from "./shapes.ts";

/** Half the width of the mannequin's torso, by spines below the neck. */
const PROFILE = [
  [-0.1, 30],
  [0, 43],
  [0.06, 46],
  [0.2, 41],
  [0.55, 36],
  [0.8, 41],
  [1, 45],
  [1.15, 46],
] as const;

/** A function by values at rising places, straight between them. */
function through(points: readonly (readonly [number, number])[], at: number): number {
  const next = points.findIndex(([x]) => x >= at);
  if (next < 0) return points.at(-1)![1];
  if (next === 0) return points[0]![1];
  const [[x0, y0], [x1, y1]] = [points[next - 1]!, points[next]!];
  return lerp(y0, y1, (at - x0) / (x1 - x0));
}

/** Half the width of somebody's torso at `down` spines below the neck, in frame units. */
export function torsoWidth({ build, scale, waist, hips }: Skeleton, down: number): number {
  const slim = smooth(0.15, 0.55, down) * (1 - smooth(0.6, 0.9, down));
  const wide = smooth(0.6, 0.95, down);
  return through(PROFILE, down) * build * scale * (1 + slim * (waist - 1) + wide * (hips - 1));
}

/** Radii of bare limbs at root, middle and end, for scale and build 1. */
const ARM = [12.5, 10.5, 8] as const;
const LEG = [23, 16, 10] as const;

export interface Radii {
  readonly root: number;
  readonly middle: number;
  readonly end: number;
}

function radii([root, middle, end]: readonly [number, number, number], { scale, build }: Skeleton): Radii {
  const by = scale * Math.sqrt(build);
  return { root: root * by, middle: middle * by, end: end * by };
}

export const armRadii = (skeleton: Skeleton): Radii => radii(ARM, skeleton);
export const legRadii = (skeleton: Skeleton): Radii => radii(LEG, skeleton);

/** A sleeve hangs a little away from the arm, a short one wider at its end. */
export function sleeveRadii(skeleton: Skeleton, { sleeve, fit }: Cut): Radii {
  const { root, middle, end } = armRadii(skeleton);
  const ease = 2.5 * skeleton.scale;
  const wide = sleeve === "short" ? 4 * skeleton.scale : 0;
  return { root: root * lerp(1, fit, 0.5) + ease, middle: middle * fit + ease + wide, end: end * fit + ease };
}

/** Half the width of trousers at the hips. */
const trousersWidth = (skeleton: Skeleton, fit: number) => (torsoWidth(skeleton, 1) + 2 * skeleton.scale) * seat(fit);

/** Around the hips trousers are tight: a top hangs over them. */
const seat = (fit: number): number => lerp(1, fit, 0.3);
const OVER_SEAT = 1.05;

export function trouserRadii(skeleton: Skeleton, { fit, flare }: Cut): Radii {
  const { middle, end } = legRadii(skeleton);
  const ease = 2.5 * skeleton.scale;
  return {
    root: trousersWidth(skeleton, fit) - HIP * skeleton.build * skeleton.scale, // as wide as the pelvis
    middle: (middle + ease) * fit * lerp(1, flare, 0.25),
    end: (end + 1.5 * ease) * fit * flare,
  };
}

/** How far the legs reach to either side at a height. */
function legsReach(skeleton: Skeleton, down: number): number {
  const { neck, across, axis, spine, legs } = skeleton;
  const { root, middle, end } = legRadii(skeleton);
  const reach = SIDES.map((side) => {
    const limb = legs[side];
    const places = (
      [
        [limb.root, root],
        [limb.middle, middle],
        [limb.end, end],
      ] as const
    ).map(([{ x, y }, radius]) => {
      const [dx, dy] = [x - neck.x, y - neck.y];
      return [(dx * axis.x + dy * axis.y) / spine, outward(side) * (dx * across.x + dy * across.y) + radius] as const;
    });
    return through(places, down);
  });
  return Math.max(...reach);
}

/** Where skirts begin to hang, in spines below the neck. */
const FALL = 0.85;

/** Half the width of a garment around torso and thighs at a height. */
export type Width = (down: number) => number;

/** A function from -0.2 to 2.6 spines by a table: it is asked at every pixel. */
function tabulated(width: Width): Width {
  const [FROM, STEP] = [-0.2, 0.02];
  const table = Float64Array.from({ length: 141 }, (_, i) => width(FROM + i * STEP));
  return (down) => {
    const at = Math.min(139.99, Math.max(0, (down - FROM) / STEP));
    const i = Math.floor(at);
    return lerp(table[i]!, table[i + 1]!, at - i);
  };
}

/** Of a top. */
export const topWidth = (skeleton: Skeleton, { fit, flare, hem }: Cut): Width =>
  tabulated((down) => {
    const loose = lerp(lerp(1, fit, smooth(0, 0.3, down)), Math.max(fit, OVER_SEAT), smooth(0.6, WAIST, down));
    return (torsoWidth(skeleton, down) + 2 * skeleton.scale) * loose * lerp(1, flare, smooth(0.4, hem, down));
  });

/** Of trousers above the legs. */
export const pelvisWidth = (skeleton: Skeleton, { fit }: Cut): Width =>
  tabulated((down) => (torsoWidth(skeleton, down) + 2 * skeleton.scale) * seat(fit));

/** Of a skirt, or of a dress from its neck. */
export const skirtWidth = (skeleton: Skeleton, { fit, flare, hem }: Cut): Width =>
  tabulated((down) => {
    const loose = lerp(1, fit, smooth(0, 0.3, down));
    const body = (torsoWidth(skeleton, Math.min(down, 1)) + 2 * skeleton.scale) * loose;
    if (down <= WAIST) return body;
    const end = torsoWidth(skeleton, 1) * fit * flare;
    const falling = lerp(body, Math.max(body, end), Math.max(0, (down - FALL) / (hem - FALL)));
    // Below the hips the legs must have room, however they stand.
    return down < 0.9 ? Math.max(body, falling) : Math.max(falling, legsReach(skeleton, down) + 2 * skeleton.scale);
  });

/** Where a place lies on a limb: how far along it (0 root, 1 middle, 2 end) and how far to its side, in frame units. */
export interface OnLimb {
  along: number;
  aside: number;
}

/** Finds the place on a limb's axis that is nearest. */
export function limbLocator({ root, middle, end }: Limb): (x: number, y: number, out: OnLimb) => void {
  const bone = (a: Point, b: Point) => ({ a, dx: b.x - a.x, dy: b.y - a.y, length: distance(a, b) });
  const bones = [bone(root, middle), bone(middle, end)];
  return (x, y, out) => {
    let nearest = Infinity;
    for (let i = 0; i < 2; i++) {
      const { a, dx, dy, length } = bones[i]!;
      const px = x - a.x;
      const py = y - a.y;
      const free = (px * dx + py * dy) / (length * length);
      const t = Math.min(i === 1 ? 1.5 : 1, Math.max(i === 0 ? -0.5 : 0, free));
      const away = (px - t * dx) ** 2 + (py - t * dy) ** 2;
      if (away >= nearest) continue;
      nearest = away;
      out.along = i + t;
      // At a bend the distance to the joint is what counts, on the side where the place lies.
      out.aside = Math.sign(dx * py - dy * px) * Math.sqrt(away);
    }
  };
}

export const radiusAt = ({ root, middle, end }: Radii, along: number): number =>
  along < 1 ? lerp(root, middle, Math.max(0, along)) : lerp(middle, end, Math.min(1, along - 1));
