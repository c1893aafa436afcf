import type { Point } from "./point.ts";

const NONE = -1;

/** How sharply the border turns, 0…4, by difference of two chain codes + 7. */
const TURN = [1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1] as const;

/** A border while points are taken out of it: a linked list over its pixels, and what each is worth. */
interface Curve {
  readonly points: readonly Point[];
  /** Sharpness; 0: no longer a candidate. */
  readonly sharp: Int32Array;
  /** Half the length of the part of the border that a candidate stands for. */
  readonly support: Int32Array;
  /** The next candidate, or NONE. Index -1 is the head, kept in the last place. */
  readonly next: Int32Array;
  readonly head: number;
}

/**
 * The dominant points of a closed border (C.-H. Teh and R. Chin 1989, sharpness by the chain code's turn) as OpenCV 4.7
 * picks them, with what its list operations do when points are neighbours.
 * @param points - every pixel of the border
 * @param codes - chain codes from each pixel to the next
 */
export function dominantPoints(points: readonly Point[], codes: readonly number[]): Point[] {
  if (codes.length === 0) return [...points];
  const curve = candidates(points, codes);
  measureSupport(curve);
  suppressNonMaxima(curve);
  dropWeak(curve);
  thinRuns(curve);
  const kept: Point[] = [];
  for (let i = curve.next[curve.head]!; i !== NONE; i = curve.next[i]!) kept.push(points[i % points.length]!);
  return kept;
}

/** Every pixel where the border turns. */
function candidates(points: readonly Point[], codes: readonly number[]): Curve {
  const count = points.length;
  const sharp = Int32Array.from(codes, (code, i) => TURN[code - codes[(i + count - 1) % count]! + 7]!);
  // Two places more: the copy of the first point that thinRuns may append, and the head.
  const next = new Int32Array(count + 2).fill(NONE);
  const head = count + 1;
  let last = head;
  for (let i = 0; i < count; i++) if (sharp[i] !== 0) last = next[last] = i;
  return { points, sharp: grow(sharp, 2), support: new Int32Array(count + 2), next, head };
}

function grow(values: Int32Array, more: number): Int32Array {
  const out = new Int32Array(values.length + more);
  out.set(values);
  return out;
}

/** Widens each candidate's chord until it grows no longer or the candidate's distance from it, per length, falls. */
function measureSupport({ points, support, next, head }: Curve): void {
  const count = points.length;
  for (let i = next[head]!; i !== NONE; i = next[i]!) {
    const { x, y } = points[i]!;
    let [length, distance] = [0, 0]; // squared chord; cross product with it
    for (let k = 1; ; k++) {
      const a = points[(((i - k) % count) + count) % count]!;
      const b = points[(i + k) % count]!;
      const [dx, dy] = [b.x - a.x, b.y - a.y];
      const wider = dx * dx + dy * dy;
      const cross = (x - a.x) * dy - (y - a.y) * dx;
      const change = distance * wider - cross * length;
      if (k > 1 && (length >= wider || (distance > 0 && change <= 0) || (distance < 0 && change >= 0))) {
        support[i] = k - 1;
        break;
      }
      [length, distance] = [wider, cross];
    }
  }
}

/** Keeps the sharpest candidate of each half support; what is dropped counts no more for those that follow. */
function suppressNonMaxima({ points, sharp, support, next, head }: Curve): void {
  const count = points.length;
  for (let i = next[head]!, before = head; i !== NONE; i = next[i]!) {
    const half = support[i]! >> 1;
    let k = 1;
    while (k <= half && sharp[(i - k + count) % count]! <= sharp[i]! && sharp[(i + k) % count]! <= sharp[i]!) k++;
    if (k <= half) {
      next[before] = next[i]!;
      sharp[i] = 0;
    } else before = i;
  }
}

/** Drops candidates that stand for one pixel only and are no sharper than a neighbour. */
function dropWeak({ points, sharp, support, next, head }: Curve): void {
  const count = points.length;
  for (let i = next[head]!, before = head; i !== NONE; i = next[i]!) {
    const [left, right] = [sharp[(i + count - 1) % count]!, sharp[(i + 1) % count]!];
    if (support[i] === 1 && (sharp[i]! <= left || sharp[i]! <= right)) {
      next[before] = next[i]!;
      sharp[i] = 0;
    } else before = i;
  }
}

/** Of two neighbouring candidates keeps the better one, of a longer run its ends. */
function thinRuns(curve: Curve): void {
  const { points, sharp, support, next, head } = curve;
  if (sharp[0] !== 0 && sharp[points.length - 1] !== 0 && !unroll(curve)) return;
  let [first, before, run] = [head, head, 1];
  for (let i = next[head]!; i !== NONE; before = i, i = next[i]!) {
    if (next[i] === i + 1) {
      run++;
      continue;
    }
    if (run === 2) {
      const better = sharp[before]! > sharp[i]! || (sharp[before] === sharp[i] && support[before]! <= support[i]!);
      // `first` may itself have been taken out before; its link then changes nothing, and both stay. So does OpenCV.
      if (better) next[before] = next[i]!;
      else next[first] = i;
    } else if (run > 2) next[next[first]!] = i;
    [first, run] = [i, 1];
  }
}

/** Makes the run that goes over the border's beginning one run at its end. @returns false when all is one run */
function unroll({ points, sharp, support, next, head }: Curve): boolean {
  const count = points.length;
  let ahead = 1;
  for (; ahead < count && sharp[ahead] !== 0; ahead++) sharp[ahead - 1] = 0;
  if (ahead === count) return false;
  ahead--;
  let back = count - 2;
  for (; back > 0 && sharp[back] !== 0; back--) {
    next[back] = NONE;
    sharp[back + 1] = 0;
  }
  back++;
  if (ahead === 0 && back === count - 1) {
    ahead = next[0]!;
    sharp[count] = sharp[0]!;
    support[count] = support[0]!;
    next[count] = NONE;
    next[count - 1] = count;
  }
  next[head] = ahead;
  return true;
}
