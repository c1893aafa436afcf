import { drawThickLine } from "./draw.ts";
import { drawRing } from "./ellipse.ts";
import type { GrayImage } from "./image.ts";
import { LABEL, maskOf } from "./labels.ts";
import { without } from "./morphology.ts";
import { isMissing, type KeyPoint, type Pose } from "./pose.ts";

/** One side's arm: where it is masked, and the hand, which is kept. */
export interface Arm {
  readonly arm: GrayImage;
  readonly hand: GrayImage;
}

/** Joints of COCO-18 by side. */
const JOINTS = {
  right: { shoulder: 2, elbow: 3, wrist: 4, label: LABEL.rightArm },
  left: { shoulder: 5, elbow: 6, wrist: 7, label: LABEL.leftArm },
} as const;

/** How far the published drawing reaches: forearms, from the elbow to beyond the wrist. */
const REACH = 1.2;

/** Its coordinates are cast to 16 bits without sign: what is negative ends far outside the picture. */
const wrap = ({ x, y }: KeyPoint) => ({ x: Math.trunc(x) & 0xffff, y: Math.trunc(y) & 0xffff });

/**
 * The arm as the published mask generator draws it: a line `width` wide from the shoulder to beyond the wrist, round at
 * shoulder and elbow. Without a wrist it is the parsed arm, and no hand is known. A missing elbow or shoulder lies at
 * (0, 0) and is drawn to.
 * @param labels - 384x512
 */
export function drawnArm(labels: GrayImage, pose: Pose | undefined, side: "left" | "right", width: number): Arm {
  const joints = JOINTS[side];
  const parsed = maskOf(labels, [joints.label]);
  const empty = (): GrayImage => ({ ...parsed, data: new Uint8Array(parsed.data.length) });
  const wrist = pose?.[joints.wrist];
  if (!pose || !wrist || isMissing(wrist)) return { arm: parsed, hand: empty() };
  const [shoulder, elbow] = [pose[joints.shoulder]!, pose[joints.elbow]!];
  const end = { x: elbow.x + REACH * (wrist.x - elbow.x), y: elbow.y + REACH * (wrist.y - elbow.y) };
  const arm = empty();
  const chain = side === "right" ? [shoulder, elbow, end] : [end, elbow, shoulder];
  drawThickLine(arm, chain.map(wrap), width);
  const half = width >> 1;
  const box = {
    x0: Math.trunc(shoulder.x - half),
    y0: Math.trunc(shoulder.y - half),
    x1: Math.trunc(shoulder.x + half),
    y1: Math.trunc(shoulder.y + half),
  };
  drawRing(arm, box, half);
  return { arm, hand: without(parsed, arm) };
}

/** What lies this far along the forearm counts as hand, up to the given distance from the wrist. */
const HAND_FROM = 1.08;
const HAND_LENGTH = 0.9;

/**
 * The whole arm down to the wrist, whatever sleeve it is in: the parsed arm and a line through the joints that were
 * found. The hand is the part of the parsed arm beyond the wrist.
 * @param labels - 384x512
 */
export function wholeArm(labels: GrayImage, pose: Pose | undefined, side: "left" | "right", width: number): Arm {
  const joints = JOINTS[side];
  const parsed = maskOf(labels, [joints.label]);
  const arm: GrayImage = { ...parsed, data: parsed.data.slice() };
  const hand: GrayImage = { ...parsed, data: new Uint8Array(parsed.data.length) };
  if (!pose) return { arm, hand };
  const [shoulder, elbow, wrist] = [pose[joints.shoulder]!, pose[joints.elbow]!, pose[joints.wrist]!];
  const chain = [shoulder, elbow, wrist].filter((joint) => !isMissing(joint));
  if (chain.length > 1) drawThickLine(arm, chain.map(wrap), width);
  if (isMissing(elbow) || isMissing(wrist)) return { arm, hand };
  const [dx, dy] = [wrist.x - elbow.x, wrist.y - elbow.y];
  const length = dx * dx + dy * dy;
  for (let i = 0; i < parsed.data.length; i++) {
    if (parsed.data[i] === 0) continue;
    const [x, y] = [i % labels.width, Math.floor(i / labels.width)];
    const along = (x - elbow.x) * dx + (y - elbow.y) * dy;
    const away = (x - wrist.x) ** 2 + (y - wrist.y) ** 2;
    if (along > HAND_FROM * length && away < HAND_LENGTH ** 2 * length) hand.data[i] = 255;
  }
  return { arm, hand };
}
