import type { Phase } from "../pipelines/inputs.ts";

const CELLS = 24;
type Shown = Phase | "compare" | "features" | "draw" | "check" | "dress";
const NAMES: Readonly<Record<Shown, string>> = {
  load: "loading the models",
  prompt: "reading the prompt",
  pose: "finding the pose",
  parse: "parsing the person",
  mask: "making the mask",
  encode: "encoding the person",
  garment: "encoding the garment",
  denoise: "denoising",
  decode: "decoding",
  compare: "comparing pictures",
  features: "taking features",
  dress: "dressing people",
  draw: "drawing pairs",
  check: "checking files",
};
/** Phases of which the steps are counted. */
const COUNTED: readonly Shown[] = ["load", "denoise", "compare", "features", "draw", "check", "dress"];

/** One line on a terminal that is written over: the phase, a bar, and the time left. Silent anywhere else. */
export class Progress {
  readonly #stream: NodeJS.WriteStream;
  #phase: Shown | undefined;
  #began = 0;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  update(phase: Shown, done: number, total: number): void {
    if (!this.#stream.isTTY) return;
    if (phase !== this.#phase) [this.#phase, this.#began] = [phase, performance.now()];
    const filled = Math.round((CELLS * done) / Math.max(1, total));
    const bar = "█".repeat(filled) + "░".repeat(CELLS - filled);
    const count = COUNTED.includes(phase) ? ` ${done}/${total}` : "";
    const left = done > 0 && done < total ? ` ${this.#left(done, total)} left` : "";
    const line = `${NAMES[phase].padEnd(20)} ${bar}${count}${left}`;
    this.#stream.write(`\r\x1b[2K${line.slice(0, (this.#stream.columns || 80) - 1)}`);
  }

  /** Takes the line away, so that what is printed next stands alone. */
  clear(): void {
    if (this.#stream.isTTY && this.#phase) this.#stream.write("\r\x1b[2K");
    this.#phase = undefined;
  }

  #left(done: number, total: number): string {
    const seconds = Math.round(((performance.now() - this.#began) / done) * (total - done)) / 1000;
    if (seconds < 60) return `${Math.ceil(seconds)} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.ceil(seconds % 60)} s`;
    return `${Math.floor(seconds / 3600)} h ${Math.ceil((seconds % 3600) / 60)} min`;
  }
}
