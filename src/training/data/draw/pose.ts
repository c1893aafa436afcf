import type { Pose } from "../../../vision/pose.ts";
import type { Point } from "../../../vision/point.ts";
import type { Stream } from "../random.ts";
import { FRAME_HEIGHT, FRAME_WIDTH, type View } from "./raster.ts";
import { between } from "./shapes.ts";

/** The person's own sides: their right arm is on the left of the picture. */
export type Side = "left" | "right";
export const SIDES: readonly Side[] = ["right", "left"];
/** Which way "outward" points on a side. */
export const outward = (side: Side): number => (side === "left" ? 1 : -1);

export interface Limb {
  /** Shoulder or hip. */
  readonly root: Point;
  /** Elbow or knee. */
  readonly middle: Point;
  /** Wrist or ankle. */
  readonly end: Point;
}

/** Joints and measures of somebody (or of a mannequin for flat garments), in frame coordinates. */
export interface Skeleton {
  readonly scale: number;
  /** From here to the picture. */
  readonly view: View;
  /** How broad, 1 for the mannequin. */
  readonly build: number;
  /** Waist and hips by the mannequin's. */
  readonly waist: number;
  readonly hips: number;
  readonly neck: Point;
  /** Down along the spine, and across it towards the picture's right: unit vectors. */
  readonly axis: Point;
  readonly across: Point;
  /** From the neck to between the hips. */
  readonly spine: number;
  readonly arms: Readonly<Record<Side, Limb>>;
  readonly legs: Readonly<Record<Side, Limb>>;
  readonly head: { readonly centre: Point; readonly tilt: number; readonly turn: number };
}

/** Lengths of a body of scale 1, in frame units. */
export const SPINE = 138;
const SHOULDER = { across: 43, down: 15 };
const UPPER_ARM = 68;
const FOREARM = 60;
const HAND = 30;
/** From the middle to either hip joint. */
export const HIP = 22;
const THIGH = 102;
const SHIN = 100;
/** From the neck to the soles. */
const STANDING = 366;
const HEAD = 46;

/** Degrees from straight down, outward: upper arm, forearm. */
const ARM_POSES: Readonly<Record<string, readonly [from: number, to: number, from: number, to: number]>> = {
  hanging: [7, 15, 0, 8],
  relaxed: [14, 26, -4, 12],
  away: [26, 40, 20, 46],
  hip: [38, 50, -60, -48],
  belly: [12, 22, -70, -50],
  chest: [20, 30, -126, -110],
  wave: [36, 60, 148, 172],
  out: [46, 58, 44, 62],
};

/** A place by its distances across and along the spine, in frame units. */
export const onTorso = ({ neck, across, axis }: Skeleton, side: number, down: number): Point => ({
  x: neck.x + across.x * side + axis.x * down,
  y: neck.y + across.y * side + axis.y * down,
});

const radians = (degrees: number) => (degrees * Math.PI) / 180;

function step(from: Point, side: Side, degrees: number, length: number): Point {
  const angle = radians(degrees);
  return { x: from.x + outward(side) * length * Math.sin(angle), y: from.y + length * Math.cos(angle) };
}

function armFrom(root: Point, side: Side, scale: number, [upper, lower]: readonly [number, number]): Limb {
  const middle = step(root, side, upper, UPPER_ARM * scale);
  return { root, middle, end: step(middle, side, lower, FOREARM * scale) };
}

/** The tip of the middle finger: a hand goes on as its forearm does. */
export const handTip = ({ middle, end }: Limb): Point => between(middle, end, 1 + HAND / FOREARM);

const EDGE = 8;
const isInside = ({ x, y }: Point) => x > EDGE && x < FRAME_WIDTH - EDGE && y > EDGE && y < FRAME_HEIGHT - EDGE;

function drawArm(stream: Stream, root: Point, side: Side, scale: number, view: View): Limb {
  const [a, b, c, d] = ARM_POSES[stream.pick(Object.keys(ARM_POSES))]!;
  const arm = armFrom(root, side, scale, [stream.between(a, b), stream.between(c, d)]);
  // An elbow outside the picture would be a missing joint between two that are there.
  return [arm.middle, handTip(arm)].every((joint) => isInside(inView(joint, view)))
    ? arm
    : armFrom(root, side, scale, [10, 4]);
}

function drawLeg(stream: Stream, root: Point, side: Side, scale: number, spread: number): Limb {
  const thigh = spread + stream.between(-1.5, 3);
  const middle = step(root, side, thigh, THIGH * scale);
  return { root, middle, end: step(middle, side, spread * 0.5 + stream.between(-3, 2), SHIN * scale) };
}

/** How much of somebody a picture shows: all, or head to thighs as half-body pictures do. */
export type Framing = "whole" | "half";

const WHOLE: View = { scale: 1, dx: 0, dy: 0 };
const HALF_SCALE = 1.5;
/** Where a half-body picture has the neck. */
const HALF_NECK = 132;

const viewOf = (framing: Framing, neck: Point): View =>
  framing === "whole"
    ? WHOLE
    : {
        scale: HALF_SCALE,
        dx: FRAME_WIDTH / 2 - HALF_SCALE * (0.5 * neck.x + FRAME_WIDTH / 4), // half of the way to the middle
        dy: HALF_NECK - HALF_SCALE * neck.y,
      };

export const inView = ({ x, y }: Point, { scale, dx, dy }: View): Point => ({ x: x * scale + dx, y: y * scale + dy });

/** Somebody standing, seen from the front. All hands are in the picture. */
export function drawSkeletonOf(stream: Stream, framing: Framing): Skeleton {
  const scale = stream.between(0.92, 1.01);
  const build = stream.between(0.86, 1.14);
  const lean = radians(stream.between(-3, 3));
  const axis = { x: Math.sin(lean), y: Math.cos(lean) };
  const across = { x: axis.y, y: -axis.x };
  const neck = {
    x: FRAME_WIDTH / 2 + stream.between(-14, 14),
    y: 484 - STANDING * scale + stream.between(-6, 6),
  };
  const view = viewOf(framing, neck);
  const measures = { scale, build, waist: stream.between(0.86, 1.06), hips: stream.between(0.94, 1.08) };
  const bare = { ...measures, view, neck, axis, across, spine: SPINE * scale };
  const tilt = stream.between(-3, 3); // one shoulder higher than the other
  const spread = stream.pick([1.5, 4, 7]) + stream.between(-1, 1);
  const place = (side: Side, sideways: number, down: number, lift = 0) =>
    onTorso(bare as Skeleton, outward(side) * sideways * build * scale, down * scale + outward(side) * lift);
  const shoulder = (side: Side) => place(side, SHOULDER.across, SHOULDER.down, tilt);
  const hip = (side: Side) => place(side, HIP, SPINE);
  const leaning = stream.between(-0.12, 0.12);
  return {
    ...bare,
    arms: {
      right: drawArm(stream, shoulder("right"), "right", scale, view),
      left: drawArm(stream, shoulder("left"), "left", scale, view),
    },
    legs: {
      right: drawLeg(stream, hip("right"), "right", scale, spread),
      left: drawLeg(stream, hip("left"), "left", scale, spread),
    },
    head: {
      centre: { x: neck.x - axis.x * HEAD * scale + leaning * 20, y: neck.y - axis.y * HEAD * scale },
      tilt: leaning,
      turn: stream.between(-1, 1),
    },
  };
}

/** What flat garments lie on. */
export const MANNEQUIN: Skeleton = (() => {
  const neck = { x: FRAME_WIDTH / 2, y: 118 };
  const bare = {
    scale: 1,
    view: WHOLE,
    build: 1,
    waist: 1.06,
    hips: 1,
    neck,
    axis: { x: 0, y: 1 },
    across: { x: 1, y: 0 },
    spine: SPINE,
  };
  const at = (side: Side, sideways: number, down: number) => onTorso(bare as Skeleton, outward(side) * sideways, down);
  const arm = (side: Side) => armFrom(at(side, SHOULDER.across, SHOULDER.down), side, 1, [34, 30]);
  const leg = (side: Side) => {
    const root = at(side, HIP, SPINE);
    const middle = step(root, side, 3.5, THIGH);
    return { root, middle, end: step(middle, side, 3.5, SHIN) };
  };
  return {
    ...bare,
    arms: { right: arm("right"), left: arm("left") },
    legs: { right: leg("right"), left: leg("left") },
    head: { centre: at("left", 0, -HEAD), tilt: 0, turn: 0 },
  };
})();

/** Half the size of a head of scale 1. */
export const FACE = { across: 23, down: 30 };

/** How far the features of a face move with a turn of the head, in frame units of scale 1. */
export const TURN = 5;

/** A place on a head, in frame units of scale 1 from its centre. */
export function onHead({ head, scale }: Skeleton, x: number, y: number): Point {
  const [cos, sin] = [Math.cos(head.tilt), Math.sin(head.tilt)];
  return { x: head.centre.x + scale * (cos * x - sin * y), y: head.centre.y + scale * (sin * x + cos * y) };
}

/** The eighteen joints in COCO's order, in pixels of 384x512; those outside the picture are missing, at (0, 0). */
export function keyPointsOf(skeleton: Skeleton): Pose {
  const { arms, legs, neck, head } = skeleton;
  const limb = ({ root, middle, end }: Limb) => [root, middle, end];
  const shift = TURN * head.turn;
  const face = (x: number, y: number) => onHead(skeleton, x + shift, y);
  const ear = (side: Side) => onHead(skeleton, outward(side) * FACE.across - shift / 2, 1);
  return [
    face(0, 7),
    neck,
    ...limb(arms.right),
    ...limb(arms.left),
    ...limb(legs.right),
    ...limb(legs.left),
    face(-8.5, -2),
    face(8.5, -2),
    ear("right"),
    ear("left"),
  ].map((joint) => {
    const { x, y } = inView(joint, skeleton.view);
    const isSeen = x > 1 && x < FRAME_WIDTH - 1 && y > 1 && y < FRAME_HEIGHT - 1;
    return isSeen ? { x: Math.round(x * 100) / 100, y: Math.round(y * 100) / 100 } : { x: 0, y: 0 };
  });
}
