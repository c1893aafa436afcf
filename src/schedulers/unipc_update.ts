import { levelOfSigma } from "./prediction.ts";

export interface UpdateKind {
  /** B(h) = h (bh1) or e^h - 1 (bh2). */
  readonly bh1: boolean;
  /** Whether outputs are clean samples, else noise. */
  readonly clean: boolean;
}

/** x' = sample · x + Σ outputs · m + newest · m', outputs newest first. */
export interface UpdateWeights {
  readonly sample: number;
  readonly outputs: readonly number[];
  readonly newest: number;
}

/**
 * Weights of one UniP or UniC update from σ = `from` to `to`, given the σ of older outputs (Zhao et al. 2023, eqs. 3, 8
 * and 9, and appendix A for predicted clean samples).
 * @param corrector whether the output at `to` takes part
 */
export function unifiedUpdate(
  { bh1, clean }: UpdateKind,
  to: number,
  from: number,
  past: readonly number[],
  corrector: boolean,
): UpdateWeights {
  const [end, start] = [levelOfSigma(to), levelOfSigma(from)];
  const step = Math.log(from) - Math.log(to); // h, in λ = ln(signal / noise) = -ln σ
  const h = clean ? -step : step;
  const growth = Math.expm1(h);
  const bh = bh1 ? h : growth;
  const scale = clean ? end.signal : end.noise;
  const distances = past.map((sigma) => (Math.log(from) - Math.log(sigma)) / step); // r, negative
  const rho = differenceWeights(distances, h, bh, corrector);
  const differences = distances.map((r, i) => (-scale * bh * rho[i]!) / r); // weights of m_i - m_0
  const newest = corrector ? -scale * bh * rho.at(-1)! : 0;
  return {
    sample: clean ? end.noise / start.noise : end.signal / start.signal,
    outputs: [-scale * growth - newest - differences.reduce((sum, d) => sum + d, 0), ...differences],
    newest,
  };
}

/** ρ of eq. 9: the solution of Σ r_j^(i-1) ρ_j = i! φ_{i+1}(h) / B(h); the two lowest orders take 1/2. */
function differenceWeights(distances: readonly number[], h: number, bh: number, corrector: boolean): number[] {
  const nodes = corrector ? [...distances, 1] : distances;
  if (nodes.length === 0) return [];
  if (nodes.length === 1) return [0.5];
  const right: number[] = [];
  let phi = Math.expm1(h) / h - 1;
  for (let i = 1, factorial = 1; i <= nodes.length; i++) {
    right.push((phi * factorial) / bh);
    factorial *= i + 1;
    phi = phi / h - 1 / factorial;
  }
  return solve(nodes.map((_, i) => nodes.map((node) => node ** i)), right); // prettier-ignore
}

/** Solves a small linear system by elimination with row exchange. */
export function solve(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  const rows = matrix.map((row, i) => [...row, right[i]!]);
  const n = rows.length;
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(rows[i]![k]!) > Math.abs(rows[pivot]![k]!)) pivot = i;
    [rows[k], rows[pivot]] = [rows[pivot]!, rows[k]!];
    for (let i = k + 1; i < n; i++) {
      const factor = rows[i]![k]! / rows[k]![k]!;
      for (let j = k; j <= n; j++) rows[i]![j]! -= factor * rows[k]![j]!;
    }
  }
  const x = right.map(() => 0);
  for (let k = n - 1; k >= 0; k--) {
    let rest = rows[k]![n]!;
    for (let j = k + 1; j < n; j++) rest -= rows[k]![j]! * x[j]!;
    x[k] = rest / rows[k]![k]!;
  }
  return x;
}
