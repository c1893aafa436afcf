import type { Point } from "../../../vision/point.ts";
import type { GrayImage, RgbImage } from "../../../vision/image.ts";

/** Red, green and blue, 0…1. */
export type Rgb = readonly [number, number, number];

/** A closed outline in frame coordinates. */
export type Path = readonly Point[];

/** Writes the colour at a place of the frame into `out`. */
export type Shader = (x: number, y: number, out: Float32Array) => void;
export type Paint = Rgb | Shader;

/** How frame coordinates become those of a wider or narrower view: x · scale + dx. */
export interface View {
  readonly scale: number;
  readonly dx: number;
  readonly dy: number;
}

export interface FillOptions {
  /** What these pixels are from now on; not given: they stay what they were. */
  readonly label?: number;
  /** 0…1. Default 1. */
  readonly opacity?: number;
}

/** The frame that everything is drawn in. */
export const FRAME_WIDTH = 384;
export const FRAME_HEIGHT = 512;

const SAME: View = { scale: 1, dx: 0, dy: 0 };
const HALF = 0.5;
/** A share that changes no byte but by a tie. */
const UNSEEN = 2e-5;
/** Shares below this paint nothing. */
const NOTHING = 0.001;
/** Shares above this are whole: sums of float32 numbers miss 1 by some millionths. */
const WHOLE = 0.9999;

/**
 * A picture that outlines are filled in, later ones over earlier ones, each pixel by the exact share of it that lies
 * inside (signed areas summed along rows, as font rasterisers do). Beside the colours it keeps what each pixel shows: its label is
 * that of the last shape that covers half of it, except that a pixel which shows any of the watched label has that one.
 */
export class Canvas {
  readonly width: number;
  readonly height: number;
  /** Frame units that one pixel spans, for textures to be filtered by. */
  readonly footprint: number;
  readonly #view: View;
  readonly #rgb: Float32Array;
  readonly #labels: Uint8Array;
  /** What share of a pixel shows the watched label. */
  readonly #seen: Float32Array;
  readonly #watched: number;
  readonly #sums: Float32Array;

  /**
   * @param watched - the label that no pixel may hide: a rim of the old garment outside a mask would give it away
   * @param view - frame coordinates are moved by it first
   */
  constructor(width: number, height: number, { watched = -1, view = SAME }: { watched?: number; view?: View } = {}) {
    this.width = width;
    this.height = height;
    this.#watched = watched;
    this.#view = view;
    this.#rgb = new Float32Array(3 * width * height);
    this.#labels = new Uint8Array(width * height);
    this.#seen = new Float32Array(width * height);
    this.#sums = new Float32Array(width * height + height + 2);
    this.footprint = 1 / (view.scale * Math.min(width / FRAME_WIDTH, height / FRAME_HEIGHT));
  }

  /** Colours every pixel. */
  clear(paint: Paint): void {
    this.#blend({ x0: 0, y0: 0, x1: this.width, y1: this.height }, paint, {}, false);
  }

  /** Fills the insides of outlines that turn the same way, as one shape. */
  fill(paths: readonly Path[], paint: Paint, options: FillOptions = {}): void {
    const box = this.#accumulate(paths);
    if (!box) return;
    this.#blend(box, paint, options, true);
    const stride = this.width + 1;
    for (let y = box.y0; y < box.y1; y++) this.#sums.fill(0, y * stride + box.x0, y * stride + box.x1 + 1);
  }

  /** Paints a box, where the sums of `fill` say or all of it. No tuple in these loops: each would be an allocation. */
  #blend(box: Box, paint: Paint, { label, opacity = 1 }: FillOptions, bounded: boolean): void {
    const { scale, dx, dy } = this.#view;
    const stepX = FRAME_WIDTH / this.width / scale;
    const stepY = FRAME_HEIGHT / this.height / scale;
    const rgb = this.#rgb;
    const sums = this.#sums;
    const colour = new Float32Array(3);
    const shader = typeof paint === "function" ? paint : undefined;
    if (!shader) colour.set(paint as Rgb);
    for (let y = box.y0; y < box.y1; y++) {
      const placeY = (y + HALF) * stepY - dy / scale;
      let inside = 0;
      for (let x = box.x0, i = y * this.width + x; x < box.x1; x++, i++) {
        if (bounded) inside += sums[y * (this.width + 1) + x]!;
        const sum = bounded ? Math.abs(inside) : 1;
        const part = sum > WHOLE ? 1 : sum;
        if (part < NOTHING) continue;
        if (shader) shader((x + HALF) * stepX - dx / scale, placeY, colour);
        const weight = part * opacity;
        const at = 3 * i;
        rgb[at]! += weight * (colour[0]! - rgb[at]!);
        rgb[at + 1]! += weight * (colour[1]! - rgb[at + 1]!);
        rgb[at + 2]! += weight * (colour[2]! - rgb[at + 2]!);
        if (label !== undefined) this.#mark(i, label, part);
      }
    }
  }

  #mark(i: number, label: number, part: number): void {
    const before = this.#seen[i]!;
    this.#seen[i] = label === this.#watched ? before + part * (1 - before) : before * (1 - part);
    if (part >= HALF) this.#labels[i] = label;
  }

  /** Adds the outlines' signed areas to the rows' sums. undefined: they lie outside the picture. */
  #accumulate(paths: readonly Path[]): Box | undefined {
    const { scale, dx, dy } = this.#view;
    const sx = this.width / FRAME_WIDTH;
    const sy = this.height / FRAME_HEIGHT;
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const path of paths) {
      const last = path.at(-1)!;
      let px = (last.x * scale + dx) * sx;
      let py = (last.y * scale + dy) * sy;
      for (const point of path) {
        const qx = (point.x * scale + dx) * sx;
        const qy = (point.y * scale + dy) * sy;
        this.#edge(px, py, qx, qy);
        px = qx;
        py = qy;
        x0 = Math.min(x0, qx);
        y0 = Math.min(y0, qy);
        x1 = Math.max(x1, qx);
        y1 = Math.max(y1, qy);
      }
    }
    const clip = (value: number, most: number) => Math.min(most, Math.max(0, value));
    const box = {
      x0: clip(Math.floor(x0), this.width),
      y0: clip(Math.floor(y0), this.height),
      x1: clip(Math.ceil(x1) + 1, this.width),
      y1: clip(Math.ceil(y1), this.height),
    };
    return box.x0 < box.x1 && box.y0 < box.y1 ? box : undefined;
  }

  /** One edge: in each row that it crosses, the area to its right, as a difference between neighbouring pixels. */
  #edge(ax: number, ay: number, bx: number, by: number): void {
    if (ay === by) return;
    if (ay > by) return this.#falling(bx, by, ax, ay, -1);
    this.#falling(ax, ay, bx, by, 1);
  }

  #falling(tx: number, ty: number, ex: number, ey: number, sign: number): void {
    const slope = (ex - tx) / (ey - ty);
    const first = Math.max(0, Math.floor(ty));
    const last = Math.min(this.height, Math.ceil(ey));
    for (let y = first; y < last; y++) {
      const top = Math.max(y, ty);
      const bottom = Math.min(y + 1, ey);
      if (bottom <= top) continue;
      const left = tx + slope * (top - ty);
      const right = tx + slope * (bottom - ty);
      this.#span(y, Math.min(left, right), Math.max(left, right), sign * (bottom - top));
    }
  }

  /** The part of an edge within one row: from x = a to x = b, `height` of the row's height (signed). */
  #span(y: number, a: number, b: number, height: number): void {
    const { width } = this;
    const row = y * (width + 1);
    const sums = this.#sums;
    const from = Math.min(width, Math.max(0, a));
    const to = Math.min(width, Math.max(0, b));
    // What lies left of the picture counts from its first column; what lies right of it counts for nothing.
    if (b - a < 1e-6 || to - from < 1e-6) return this.#column(row, from, height);
    const per = height / (b - a);
    if (from > a) this.#column(row, 0, per * (from - a));
    for (let x = Math.floor(from); x < to; x++) {
      const l = Math.max(x, from);
      const r = Math.min(x + 1, to);
      if (r <= l) continue;
      const piece = per * (r - l);
      const covered = piece * (x + 1 - (l + r) / 2);
      sums[row + x]! += covered;
      sums[row + x + 1]! += piece - covered;
    }
  }

  /** An upright edge at x. */
  #column(row: number, x: number, height: number): void {
    if (x >= this.width) return;
    const column = Math.floor(x);
    const covered = height * (column + 1 - x);
    this.#sums[row + column]! += covered;
    this.#sums[row + column + 1]! += height - covered;
  }

  picture(): RgbImage {
    const data = new Uint8ClampedArray(this.#rgb.length); // clips and rounds
    for (let i = 0; i < data.length; i++) data[i] = 255 * this.#rgb[i]!;
    return { width: this.width, height: this.height, data: new Uint8Array(data.buffer) };
  }

  labels(): GrayImage {
    const data = this.#labels.slice();
    for (let i = 0; i < data.length; i++) if (this.#seen[i]! > UNSEEN) data[i] = this.#watched;
    return { width: this.width, height: this.height, data };
  }
}

interface Box {
  readonly x0: number;
  readonly y0: number;
  readonly x1: number;
  readonly y1: number;
}
