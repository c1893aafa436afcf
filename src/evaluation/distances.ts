import { ShapeError } from "../util/errors.ts";
import { TorchGenerator } from "../util/random.ts";
import { sumOfSingularValues, triangle, type Rows } from "./singular.ts";

/** Features of pictures: one row each. */
export type Features = readonly Float32Array[];

/**
 * Fréchet distance of the normal distributions that have the features' means and covariances (Heusel et al. 2017,
 * arXiv 1706.08500, equation 6): |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½).
 *
 * The roots of the eigenvalues of Σ₁ Σ₂ are the singular values of W₁ W₂ᵀ for any Wᵢ with Wᵢᵀ Wᵢ = Σᵢ. With fewer
 * pictures than features W is the centred features themselves, so no matrix is larger than need be.
 * @throws ShapeError for fewer than two pictures, or rows of different lengths
 */
export function frechetDistance(a: Features, b: Features): number {
  const [first, second] = [statistics(a, a[0]?.length ?? 0), statistics(b, a[0]?.length ?? 0)];
  let distance = first.trace + second.trace;
  for (const [i, mean] of first.mean.entries()) distance += (mean - second.mean[i]!) ** 2;
  const [long, short] = [first.root, second.root].sort((x, y) => y.length - x.length) as [Rows, Rows];
  return distance - 2 * sumOfSingularValues(long.map((x) => Float64Array.from(short, (y) => dot(x, y))));
}

function dot(x: Float64Array | Float32Array, y: Float64Array | Float32Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
  return sum;
}

interface Statistics {
  readonly mean: Float64Array;
  /** Of the covariance. */
  readonly trace: number;
  /** W with WᵀW the sample covariance, of no more rows than columns. */
  readonly root: Rows;
}

function statistics(rows: Features, size: number): Statistics {
  if (rows.length < 2) throw new ShapeError("frechetDistance", `${rows.length} pictures have no covariance`);
  if (rows.some((row) => row.length !== size))
    throw new ShapeError("frechetDistance", `rows of other lengths than ${size}`);
  const mean = new Float64Array(size);
  for (const row of rows) for (let i = 0; i < size; i++) mean[i] = mean[i]! + row[i]! / rows.length;
  const scale = 1 / Math.sqrt(rows.length - 1);
  const centred = rows.map((row) => Float64Array.from(row, (value, i) => (value - mean[i]!) * scale));
  const trace = centred.reduce((sum, row) => sum + dot(row, row), 0);
  return { mean, trace, root: centred.length > size ? triangle(centred) : centred };
}

/** Options of `kernelDistance`. */
export interface KernelDistanceOptions {
  /** How often a subset of each side is drawn; the result is the mean. Default 100. */
  readonly subsets?: number;
  /** Pictures of a subset, at most; never more than the smaller side has. Default 1000. */
  readonly subsetSize?: number;
  /** Of the drawing. Default 0. */
  readonly seed?: number;
}

/**
 * Kernel distance (Bińkowski et al. 2018, arXiv 1801.01401, equation 4): the unbiased squared maximum mean discrepancy
 * under the kernel (x·y / d + 1)³, as the mean over random subsets.
 * @throws ShapeError for fewer than two pictures
 */
export function kernelDistance(
  a: Features,
  b: Features,
  { subsets = 100, subsetSize = 1000, seed = 0 }: KernelDistanceOptions = {},
): number {
  const size = Math.min(a.length, b.length, subsetSize);
  if (size < 2) throw new ShapeError("kernelDistance", `${a.length} and ${b.length} pictures are too few`);
  const generator = new TorchGenerator(seed);
  const whole = a.length === size && b.length === size; // every subset is the same
  const draws = whole ? 1 : subsets;
  const [withinA, withinB, between] = [kernelOf(a, a), kernelOf(b, b), kernelOf(a, b)];
  let sum = 0;
  for (let i = 0; i < draws; i++) {
    const [x, y] = [draw(generator, a.length, size), draw(generator, b.length, size)];
    const within = offDiagonal(withinA, x) + offDiagonal(withinB, y);
    let both = 0;
    for (const row of x) for (const column of y) both += between(row, column);
    sum += within / (size * (size - 1)) - (2 * both) / size ** 2;
  }
  return sum / draws;
}

type Kernel = (row: number, column: number) => number;

const MOST_KEPT = 2 ** 25; // numbers of a kernel that are computed once for all subsets: 256 MiB

/** (x·y / d + 1)³ of any two rows: kept, where there are not too many of them, since subsets meet them again. */
function kernelOf(a: Features, b: Features): Kernel {
  const value: Kernel = (row, column) => (dot(a[row]!, b[column]!) / a[row]!.length + 1) ** 3;
  if (a.length * b.length > MOST_KEPT) return value;
  const values = new Float64Array(a.length * b.length);
  for (let row = 0; row < a.length; row++)
    for (let column = 0; column < b.length; column++) values[row * b.length + column] = value(row, column);
  return (row, column) => values[row * b.length + column]!;
}

function offDiagonal(kernel: Kernel, chosen: Int32Array): number {
  let sum = 0;
  for (const row of chosen) for (const column of chosen) if (row !== column) sum += kernel(row, column);
  return sum;
}

/** `size` of `count` numbers, none twice (Fisher and Yates' shuffle, stopped early). */
function draw(generator: TorchGenerator, count: number, size: number): Int32Array {
  const all = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = 0; i < size; i++) {
    const other = i + generator.randint(0, count - i, [1])[0]!;
    [all[i], all[other]] = [all[other]!, all[i]!];
  }
  return all.subarray(0, size);
}
