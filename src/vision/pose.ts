import { NonFiniteError, NoPersonError, ShapeError } from "../util/errors.ts";
import { Enlarged, lanczosLattice, resizeArea, type Plane } from "./filters.ts";
import type { RgbImage } from "./image.ts";
import { findPeaks, scratchFor } from "./peaks.ts";
import { assemblePeople, JOINTS, type Candidate, type Figure } from "./people.ts";

/** A joint in pixels of 384x512; a missing one lies at (0, 0). */
export interface KeyPoint {
  /** From the left. */
  readonly x: number;
  /** From the top. */
  readonly y: number;
}

/**
 * A person's 18 joints in COCO's order: nose, neck, right shoulder, elbow, wrist, left shoulder, elbow, wrist, right
 * hip, knee, ankle, left hip, knee, ankle, right eye, left eye, right ear, left ear.
 */
export type Pose = readonly KeyPoint[];

/** The size that poses are measured in. */
export const POSE_WIDTH = 384;
export const POSE_HEIGHT = 512;

const STEP = 8; // the network's maps are this much smaller than its input
const SHRINK = (0.5 * 368) / POSE_HEIGHT; // the published search scale, of the height the network was trained on
const INNER = { width: Math.trunc(POSE_WIDTH * SHRINK), height: Math.trunc(POSE_HEIGHT * SHRINK) };
const padded = (size: number) => Math.ceil(size / STEP) * STEP;
const INPUT = { width: padded(INNER.width), height: padded(INNER.height) };
const PADDING = 128;
const FIELDS = 38;
const HEATS = 19;

/** Numbers for the body network. */
export interface PosePixels {
  /** [1, height, width, 3]. */
  readonly shape: readonly [1, number, number, 3];
  /** Blue, green, red; -0.5…0.5. */
  readonly data: Float32Array;
}

/**
 * The body network's input for a picture of 384x512: shrunk to 138x184, padded to 144x184 with grey.
 * @returns [1, 184, 144, 3]
 * @throws ShapeError for another size
 */
export function posePixels(image: RgbImage): PosePixels {
  if (image.width !== POSE_WIDTH || image.height !== POSE_HEIGHT)
    throw new ShapeError("pose", `the picture is ${image.width}x${image.height}, not ${POSE_WIDTH}x${POSE_HEIGHT}`);
  const small = resizeArea(image, INNER.width, INNER.height).data;
  const data = new Float32Array(INPUT.width * INPUT.height * 3).fill(PADDING / 256 - 0.5);
  for (let y = 0; y < INNER.height; y++)
    for (let x = 0; x < INNER.width; x++) {
      const [from, to] = [(y * INNER.width + x) * 3, (y * INPUT.width + x) * 3];
      for (let c = 0; c < 3; c++) data[to + c] = small[from + 2 - c]! / 256 - 0.5;
    }
  return { shape: [1, INPUT.height, INPUT.width, 3], data };
}

/** What the body network returns for `posePixels`. */
export interface PoseMaps {
  /** [23, 18, 38]. */
  readonly paf: Float32Array;
  /** [23, 18, 19]. */
  readonly heat: Float32Array;
}

/** Somebody in the picture. */
export interface Person {
  /** Their joints. */
  readonly pose: Pose;
  /** How many joints were found. */
  readonly joints: number;
  /** Mean score of joints and limbs: from 0.4, about 2 for a clear figure. */
  readonly score: number;
}

/** Who is in the picture. */
export interface FoundPose {
  /** Of the person to dress. */
  readonly pose: Pose;
  /** Everybody: the foremost first, or with `compat` in the order in which they were found. */
  readonly people: readonly Person[];
}

/** Options of `decodePose`. */
export interface PoseOptions {
  /** The published read-out, faults included: of several people or with stray peaks it mixes joints. */
  readonly compat?: boolean;
}

/**
 * The pose of the person in a picture of 384x512, from the body network's maps. Of several people it is the one who is
 * largest and clearest, for that is the one to dress: the score alone tells a passer-by from the subject by chance.
 * @throws NoPersonError, NonFiniteError, ShapeError
 */
export function decodePose({ paf, heat }: PoseMaps, { compat = false }: PoseOptions = {}): FoundPose {
  const maps = { paf: planes("paf", paf, FIELDS), heat: planes("heat", heat, HEATS) };
  const lattice = lanczosLattice(INNER, { width: POSE_WIDTH, height: POSE_HEIGHT });
  const candidates: Candidate[] = [];
  const scratch = scratchFor({ width: POSE_WIDTH, height: POSE_HEIGHT });
  for (const [joint, plane] of maps.heat.slice(0, JOINTS).entries()) {
    const peaks = findPeaks(plane, new Enlarged(plane, lattice), !compat, scratch);
    for (const peak of peaks) candidates.push({ ...peak, joint });
  }
  const fields = maps.paf.map((plane) => new Enlarged(plane, lattice));
  const figures = assemblePeople(candidates, fields, !compat);
  const first = figures[0];
  if (!first) throw new NoPersonError("pose", "no person was found in the picture");
  const people = figures.map((figure) => personOf(figure, candidates));
  if (compat) return { pose: publishedPose(first, candidates), people };
  people.sort((a, b) => b.score * extent(b.pose) - a.score * extent(a.pose));
  return { pose: people[0]!.pose, people };
}

/** Channels of a map [h, w, c] enlarged to the network's input, without its padding: the first of two enlargements. */
function planes(what: string, map: Float32Array, channels: number): Plane[] {
  const [width, height] = [INPUT.width / STEP, INPUT.height / STEP];
  if (map.length !== width * height * channels)
    throw new ShapeError("pose", `${what} has ${map.length} numbers, not [${height}, ${width}, ${channels}]`);
  if (!map.every(Number.isFinite)) throw new NonFiniteError("pose", `${what} holds NaN or infinite numbers`);
  const lattice = lanczosLattice({ width, height }, INPUT);
  return Array.from({ length: channels }, (_, c) => {
    const data = Float32Array.from({ length: width * height }, (_, i) => map[i * channels + c]!);
    const wide = new Enlarged({ width, height, data }, lattice).render();
    return { ...INNER, data: cropped(wide) };
  });
}

function cropped({ width, data }: Plane): Float32Array {
  const result = new Float32Array(INNER.width * INNER.height);
  for (let y = 0; y < INNER.height; y++) result.set(data.subarray(y * width, y * width + INNER.width), y * INNER.width);
  return result;
}

const MISSING: KeyPoint = { x: 0, y: 0 };

function personOf({ joints, score, count }: Figure, candidates: readonly Candidate[]): Person {
  const pose = Array.from(joints, (number) => pointOf(candidates[number]));
  return { pose, joints: joints.filter((number) => number >= 0).length, score: score / count };
}

const pointOf = (candidate: Candidate | undefined): KeyPoint =>
  candidate ? { x: candidate.x, y: candidate.y } : MISSING;

/** Whether a joint was not found: published code takes all within a pixel of (0, 0) for that, some data have (-1, -1). */
export const isMissing = ({ x, y }: KeyPoint): boolean => x <= 1 && y <= 1;

/** Diagonal of the box around a person's joints, in pixels. */
function extent(pose: Pose): number {
  const found = pose.filter((point) => !isMissing(point));
  const span = (values: number[]) => Math.max(...values) - Math.min(...values);
  return Math.hypot(span(found.map(({ x }) => x)), span(found.map(({ y }) => y)));
}

/**
 * The published read-out. It takes the list of everybody's joints, puts a (0, 0) where the first person lacks a joint
 * and, where the list does not hold the person's joint in its place, removes one entry: the wrong number of them when
 * several are in the way, so that joints of others slip in.
 */
function publishedPose({ joints }: Figure, candidates: readonly Candidate[]): Pose {
  const points = candidates.map(pointOf);
  let shift = 0; // how far the person's later joints have moved in the list
  for (const [joint, number] of joints.entries()) {
    if (number < 0) {
      points.splice(joint, 0, MISSING);
      shift++;
    } else if (number + shift !== joint) {
      points.splice(joint, 1);
      shift--;
    }
  }
  return Array.from(joints, (_, joint) => points[joint] ?? MISSING);
}
