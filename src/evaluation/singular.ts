/** Rows of a matrix. The functions here work in their place. */
export type Rows = readonly Float64Array[];

/**
 * The sum of a matrix's singular values. Reflections make it bidiagonal (Golub and Kahan 1965); bidiagonal entries
 * d₁, e₁, d₂, … beside a diagonal of zeros make a symmetric tridiagonal matrix whose eigenvalues are the singular
 * values and their negatives, and those are found by bisection, counting signs (Golub and Van Loan 2013, 8.4.1). So
 * nothing is squared, and small values are as good as large ones.
 * @param rows - no fewer than there are columns; overwritten
 */
export function sumOfSingularValues(rows: Rows): number {
  const columns = rows[0]?.length ?? 0;
  const beside: number[] = [];
  for (let k = 0; k < columns; k++) {
    beside.push(reflectColumn(rows, k));
    if (k + 1 < columns) beside.push(reflectRow(rows, k));
  }
  const neighbours = beside.map((value, i) => Math.abs(value) + Math.abs(beside[i + 1] ?? 0));
  const bound = neighbours.reduce((most, value) => Math.max(most, value), Math.abs(beside[0] ?? 0)); // Gershgorin's
  let sum = 0;
  for (let i = 0; i < columns; i++) sum += eigenvalue(beside, columns + i, bound);
  return sum;
}

/**
 * A matrix W with as many rows as columns, and WᵀW that of the given one (the R of its QR decomposition).
 * @param rows - more than there are columns; overwritten
 */
export function triangle(rows: Rows): Rows {
  const columns = rows[0]?.length ?? 0;
  for (let k = 0; k < columns; k++) {
    const diagonal = reflectColumn(rows, k);
    for (let i = k; i < rows.length; i++) rows[i]![k] = i === k ? diagonal : 0;
  }
  return rows.slice(0, columns);
}

/** Reflects rows k… so that column k becomes zero below its entry k. @returns that entry; the column is left as it was */
function reflectColumn(rows: Rows, k: number): number {
  const own = Float64Array.from({ length: rows.length - k }, (_, i) => rows[k + i]![k]!);
  const { entry, scale } = reflection(own);
  if (scale === 0) return entry;
  const columns = rows[0]!.length;
  const sums = new Float64Array(columns);
  for (let i = k; i < rows.length; i++) addTo(sums, rows[i]!, own[i - k]!, k + 1);
  for (let i = k; i < rows.length; i++) addTo(rows[i]!, sums, -scale * own[i - k]!, k + 1);
  return entry;
}

/** The same for the columns k + 1… and row k, whose entry k + 1 is returned. */
function reflectRow(rows: Rows, k: number): number {
  const own = rows[k]!.slice(k + 1);
  const { entry, scale } = reflection(own);
  if (scale === 0) return entry;
  for (let i = k + 1; i < rows.length; i++) {
    const row = rows[i]!;
    let sum = 0;
    for (let j = 0; j < own.length; j++) sum += row[k + 1 + j]! * own[j]!;
    sum *= scale;
    for (let j = 0; j < own.length; j++) row[k + 1 + j] = row[k + 1 + j]! - sum * own[j]!;
  }
  return entry;
}

/** Makes of x the v of the reflection 1 - scale · v vᵀ that takes x to (entry, 0, 0, …). */
function reflection(x: Float64Array): { entry: number; scale: number } {
  const length = norm(x);
  if (length === 0) return { entry: 0, scale: 0 };
  const entry = x[0]! > 0 ? -length : length; // away from x: nothing cancels
  x[0] = x[0]! - entry;
  return { entry, scale: 1 / (length * Math.abs(x[0])) };
}

function norm(x: Float64Array): number {
  let largest = 0;
  for (let i = 0; i < x.length; i++) largest = Math.max(largest, Math.abs(x[i]!));
  if (largest === 0) return 0;
  let sum = 0; // relative to the largest: squares of very small numbers would vanish
  for (let i = 0; i < x.length; i++) sum += (x[i]! / largest) ** 2;
  return largest * Math.sqrt(sum);
}

function addTo(target: Float64Array, values: Float64Array, factor: number, from: number): void {
  for (let j = from; j < target.length; j++) target[j] = target[j]! + factor * values[j]!;
}

/** The eigenvalue of that rank, ascending, none below 0, of a symmetric tridiagonal matrix with a diagonal of zeros. */
function eigenvalue(beside: readonly number[], rank: number, bound: number): number {
  let [low, high] = [0, bound];
  while (high - low > bound * Number.EPSILON) {
    const middle = (low + high) / 2;
    if (countBelow(beside, middle) > rank) high = middle;
    else low = middle;
  }
  return (low + high) / 2;
}

/** How many eigenvalues are less than x: the negative pivots of the matrix less x (Sylvester's law of inertia). */
function countBelow(beside: readonly number[], x: number): number {
  let pivot = -x;
  let count = pivot < 0 ? 1 : 0;
  for (let i = 0; i < beside.length; i++) {
    pivot = -x - (beside[i]! * beside[i]!) / (pivot || Number.MIN_VALUE);
    if (pivot < 0) count++;
  }
  return count;
}
