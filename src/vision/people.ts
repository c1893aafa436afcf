import type { Enlarged } from "./filters.ts";
import type { Peak } from "./peaks.ts";

export const JOINTS = 18;

/** Limbs by their joints, in the order in which people are put together. The last two only add to people. */
export const LIMBS: readonly (readonly [from: number, to: number])[] = [
  [1, 2],
  [1, 5],
  [2, 3],
  [3, 4],
  [5, 6],
  [6, 7],
  [1, 8],
  [8, 9],
  [9, 10],
  [1, 11],
  [11, 12],
  [12, 13],
  [1, 0],
  [0, 14],
  [14, 16],
  [0, 15],
  [15, 17],
  [2, 16],
  [5, 17],
];
/** The first of the two channels of each limb's part-affinity field. */
const FIELD = [12, 20, 14, 16, 22, 24, 0, 2, 4, 6, 8, 10, 28, 30, 34, 32, 36, 18, 26] as const;
/** How many of the first limbs may begin a person, and are drawn. */
export const FOUNDING_LIMBS = 17;

const SAMPLES = 10;
const FIELD_THRESHOLD = 0.05;
const MIN_JOINTS = 4;
const MIN_MEAN_SCORE = 0.4;

/** A peak of any joint; its place in the list of all peaks is its number. */
export interface Candidate extends Peak {
  readonly joint: number;
}

/** Joints that belong together, as numbers of candidates, -1 where one is missing. */
export interface Figure {
  readonly joints: Int32Array;
  /** Sum of the scores of its joints and limbs. */
  score: number;
  /** How many joints were added. */
  count: number;
}

/** A limb between two candidates. */
interface Connection {
  readonly from: number;
  readonly to: number;
  readonly score: number;
}

/**
 * Puts joints together to people along part-affinity fields (Cao et al. 2017, arXiv 1611.08050, section 2.3).
 * @param candidates in the order of their joints
 * @param fields the 38 channels at the size of the picture
 * @param exclusive nobody gets a joint that somebody else has; the published procedure hands it over to both
 * @returns people of at least four joints, in the order in which they were begun
 */
export function assemblePeople(
  candidates: readonly Candidate[],
  fields: readonly Enlarged[],
  exclusive: boolean,
): Figure[] {
  const byJoint: number[][] = Array.from({ length: JOINTS }, () => []);
  for (const [number, { joint }] of candidates.entries()) byJoint[joint]!.push(number);
  const figures: Figure[] = [];
  for (const [limb, [from, to]] of LIMBS.entries()) {
    const [starts, ends] = [byJoint[from]!, byJoint[to]!];
    const field = fieldOf(fields, FIELD[limb]!, starts.length * ends.length);
    for (const connection of connect(candidates, starts, ends, field)) {
      const founding = limb < FOUNDING_LIMBS;
      attach(figures, connection, { from, to, candidates, founding, exclusive });
    }
  }
  return figures.filter(({ score, count }) => count >= MIN_JOINTS && score / count >= MIN_MEAN_SCORE);
}

interface Field {
  readonly x: (x: number, y: number) => number;
  readonly y: (x: number, y: number) => number;
  readonly height: number;
}

/** A limb's field, enlarged where it is read; enlarged as a whole where many pairs of joints will read it. */
function fieldOf(fields: readonly Enlarged[], first: number, pairs: number): Field {
  const [x, y] = [fields[first]!, fields[first + 1]!];
  if (pairs < 1000) return { x: (a, b) => x.at(a, b), y: (a, b) => y.at(a, b), height: x.height };
  const [allX, allY] = [x.render().data, y.render().data];
  return { x: (a, b) => allX[b * x.width + a]!, y: (a, b) => allY[b * x.width + a]!, height: x.height };
}

/** The best limbs from `starts` to `ends`, each of which has at most one. */
function connect(
  candidates: readonly Candidate[],
  starts: readonly number[],
  ends: readonly number[],
  field: Field,
): Connection[] {
  const possible: Connection[] = [];
  for (const from of starts)
    for (const to of ends) {
      const score = limbScore(candidates[from]!, candidates[to]!, field);
      if (score !== undefined) possible.push({ from, to, score });
    }
  possible.sort((a, b) => b.score - a.score); // stable, as the published one
  const used = new Set<number>();
  return possible.filter(({ from, to }) => {
    if (used.has(from) || used.has(to)) return false;
    used.add(from).add(to);
    return true;
  });
}

/**
 * How well the field between two points points from one to the other: its mean along the limb, less a penalty beyond
 * half the picture's height; undefined where too little of it does.
 */
function limbScore(a: Peak, b: Peak, field: Field): number | undefined {
  const length = Math.max(0.001, Math.hypot(b.x - a.x, b.y - a.y));
  const [dx, dy] = [(b.x - a.x) / length, (b.y - a.y) / length];
  let [sum, good] = [0, 0];
  for (let i = 0; i < SAMPLES; i++) {
    const share = i / (SAMPLES - 1);
    // Between whole numbers no tenth point lies halfway, so that it does not matter where halves are rounded to.
    const [x, y] = [Math.round(a.x + share * (b.x - a.x)), Math.round(a.y + share * (b.y - a.y))];
    const along = field.x(x, y) * dx + field.y(x, y) * dy;
    sum += along;
    if (along > FIELD_THRESHOLD) good++;
  }
  const score = sum / SAMPLES + Math.min((0.5 * field.height) / length - 1, 0);
  return good > 0.8 * SAMPLES && score > 0 ? score : undefined;
}

interface Place {
  readonly from: number;
  readonly to: number;
  readonly candidates: readonly Candidate[];
  readonly founding: boolean;
  readonly exclusive: boolean;
}

/** Adds a limb to the person who has one of its joints, joins two people whom it links, or begins a person. */
function attach(figures: Figure[], connection: Connection, place: Place): void {
  const { from, to, candidates, founding, exclusive } = place;
  const gain = candidates[connection.to]!.score + connection.score;
  const add = (figure: Figure) => {
    figure.joints[to] = connection.to;
    figure.count++;
    figure.score += gain;
  };
  const [one, other] = figures.filter(({ joints }) => joints[from] === connection.from || joints[to] === connection.to);
  if (one && other) {
    if (one.joints.every((joint, i) => joint < 0 || other.joints[i]! < 0)) {
      for (const [i, joint] of other.joints.entries()) if (joint >= 0) one.joints[i] = joint;
      one.count += other.count;
      one.score += other.score + connection.score;
      figures.splice(figures.indexOf(other), 1);
    } else if (!exclusive) add(one);
  } else if (one) {
    if (one.joints[to] !== connection.to) add(one);
  } else if (founding) {
    const joints = new Int32Array(JOINTS).fill(-1);
    joints[from] = connection.from;
    joints[to] = connection.to;
    figures.push({ joints, count: 2, score: candidates[connection.from]!.score + gain });
  }
}
