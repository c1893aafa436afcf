import { wholeArm } from "./arms.ts";
import type { Point } from "./point.ts";
import type { GrayImage } from "./image.ts";
import { LABEL, maskOf } from "./labels.ts";
import { connectedPieces, dilateBox, dilateDisc, union, without } from "./morphology.ts";
import { fillPolygon } from "./polygon.ts";
import { isMissing, type KeyPoint, type Pose } from "./pose.ts";

/** Pixels of 384x512 around the hull and around the arms. */
const MARGIN = 12;
/** Share of the labels' pixels below which a piece is taken for a slip of the parser. */
const SPECK = 0.02;
/** Pixels between pieces of one person's clothes: the width of a forearm, and some more. */
const NEAR = 40;
/** A top may end this far below the hips, in torso lengths, and is that much wider than they are, in hip widths. */
const HEM = 0.2;
const FLARE = 0.3;

const TOPS = [LABEL.upper, LABEL.dress, LABEL.belt, LABEL.neck];
const BOTTOMS = [LABEL.skirt, LABEL.pants, LABEL.leftLeg, LABEL.rightLeg];
const [NECK, RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_HIP, LEFT_HIP, RIGHT_ANKLE, LEFT_ANKLE] = [1, 2, 5, 8, 11, 10, 13];

/**
 * A region for a garment of any cut: the convex hull of what a person wears there, so that neither its outline nor its
 * hem can be made out, and for tops both whole arms, so that short sleeves may become long ones. It overlaps what is to
 * be kept; the caller takes that out. Empty where nothing of the category is worn and no key points help.
 * @param labels - 384x512
 */
export function generousRegion(
  labels: GrayImage,
  pose: Pose | undefined,
  category: "upperbody" | "lowerbody" | "dress",
  armWidth: number,
): { readonly mask: GrayImage; readonly hands: GrayImage } {
  const worn = category === "upperbody" ? TOPS : category === "lowerbody" ? BOTTOMS : [...TOPS, ...BOTTOMS];
  const pieces = ofOnePerson(withoutSpecks(maskOf(labels, worn)), pose);
  const [left, right] = (["left", "right"] as const).map((side) => wholeArm(labels, pose, side, armWidth)) as [
    ReturnType<typeof wholeArm>,
    ReturnType<typeof wholeArm>,
  ];
  const hands = union(left.hand, right.hand);
  if (!pieces.data.includes(255)) return { mask: pieces, hands };
  const joints = pose ? anchors(pose, category) : [];
  const inside = joints.map(({ x, y }) => ({ x: within(x, labels.width), y: within(y, labels.height) }));
  const hull: GrayImage = { ...labels, data: new Uint8Array(labels.data.length) };
  fillPolygon(hull, convexHull([...rowEnds(pieces), ...inside]));
  const body = dilateDisc(hull, MARGIN);
  if (category === "lowerbody") return { mask: without(body, maskOf(labels, [LABEL.upper])), hands };
  const arms = ofOnePerson(union(withoutSpecks(union(left.arm, right.arm)), hull), pose);
  return { mask: union(body, dilateBox(without(arms, hull), 17)), hands };
}

const within = (value: number, size: number) => Math.min(size - 1, Math.max(0, Math.round(value)));
const isFound = (joint: KeyPoint | undefined): joint is KeyPoint => joint !== undefined && !isMissing(joint);

/** Points that the hull must hold besides the clothes: joints, and where a loose hem would hang. */
function anchors(pose: Pose, category: "upperbody" | "lowerbody" | "dress"): KeyPoint[] {
  const found = (...indices: number[]) => indices.map((i) => pose[i]).filter(isFound);
  const hips = found(RIGHT_HIP!, LEFT_HIP!);
  const points = [...hips];
  if (category !== "upperbody") points.push(...found(RIGHT_ANKLE!, LEFT_ANKLE!));
  if (category === "lowerbody") return points;
  points.push(...found(RIGHT_SHOULDER!, LEFT_SHOULDER!));
  const neck = pose[NECK!];
  if (hips.length < 2 || !isFound(neck)) return points;
  const [a, b] = hips as [KeyPoint, KeyPoint];
  const down = HEM * Math.hypot((a.x + b.x) / 2 - neck.x, (a.y + b.y) / 2 - neck.y);
  const [dx, dy] = [FLARE * (a.x - b.x), FLARE * (a.y - b.y)];
  return [...points, { x: a.x + dx, y: a.y + dy + down }, { x: b.x - dx, y: b.y - dy + down }];
}

/** A speck far from the rest would draw the hull out to it. */
function withoutSpecks(mask: GrayImage): GrayImage {
  const { pieces, sizes } = connectedPieces(mask);
  const least = SPECK * sizes.reduce((sum, size) => sum + size, 0);
  return { ...mask, data: mask.data.map((value, i) => (value !== 0 && sizes[pieces[i]!]! >= least ? 255 : 0)) };
}

/**
 * The pieces of one person's clothes: the piece that most joints lie on (the largest, where none does), and whatever is
 * near it, piece by piece. The hull around the clothes of two people would hold all that is between them.
 */
function ofOnePerson(mask: GrayImage, pose: Pose | undefined): GrayImage {
  const { pieces, sizes } = connectedPieces(mask);
  if (sizes.length <= 2) return mask; // one piece, or none
  const weights = sizes.map((size, piece) => (piece === 0 ? 0 : size / mask.data.length)); // less than a joint
  for (const { x, y } of (pose ?? []).filter(isFound)) {
    const piece = pieces[within(y, mask.height) * mask.width + within(x, mask.width)]!;
    if (piece > 0) weights[piece]!++;
  }
  const kept = new Uint8Array(sizes.length);
  kept[weights.indexOf(Math.max(...weights))] = 255;
  for (;;) {
    const only = { ...mask, data: mask.data.map((_, i) => kept[pieces[i]!]!) };
    const around = dilateDisc(only, NEAR).data;
    let found = false;
    for (let i = 0; i < pieces.length; i++) {
      const piece = pieces[i]!;
      if (piece === 0 || around[i] === 0 || kept[piece] !== 0) continue;
      kept[piece] = 255;
      found = true;
    }
    if (!found) return only;
  }
}

/** The first and last pixel of every row: all that a convex hull can depend on. */
function rowEnds({ width, height, data }: GrayImage): Point[] {
  const ends: Point[] = [];
  for (let y = 0; y < height; y++) {
    const row = data.subarray(y * width, (y + 1) * width);
    const first = row.indexOf(255);
    if (first >= 0) ends.push({ x: first, y }, { x: row.lastIndexOf(255), y });
  }
  return ends;
}

/** Corners of the convex hull (A. Andrew 1979, monotone chains). */
export function convexHull(points: readonly Point[]): Point[] {
  const sorted = [...points].sort((a, b) => a.x - b.x || a.y - b.y);
  const chain = (run: readonly Point[]) => {
    const out: Point[] = [];
    for (const p of run) {
      for (;;) {
        const [a, b] = out.slice(-2);
        if (!a || !b || (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x) > 0) break;
        out.pop();
      }
      out.push(p);
    }
    return out;
  };
  const corners = [sorted, [...sorted].reverse()].flatMap((run) => chain(run).slice(0, -1));
  return corners.length > 0 ? corners : sorted.slice(0, 1); // all points may be one
}
