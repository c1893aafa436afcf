import type { GrayImage } from "toile";
import type { Category } from "./protocol.ts";

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A rectangle of pixels, right and bottom not included. */
export interface Rect {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** How many steps back there are. */
const HISTORY = 50;

/** A mask that is painted on: 255 where the garment may go. Knows nothing of the page. */
export class Mask implements GrayImage {
  readonly width: number;
  readonly height: number;
  /** Grows with every change. */
  version = 0;
  #data: Uint8Array;
  #past: Uint8Array[] = [];
  #future: Uint8Array[] = [];

  constructor({ width, height, data }: GrayImage) {
    [this.width, this.height] = [width, height];
    this.#data = data.map((value) => (value < 127 ? 0 : 255)); // the try-on's own threshold
  }

  get data(): Uint8Array {
    return this.#data;
  }

  get canUndo(): boolean {
    return this.#past.length > 0;
  }

  get canRedo(): boolean {
    return this.#future.length > 0;
  }

  /** White pixels over all. */
  get share(): number {
    let count = 0;
    for (const value of this.#data) count += value & 1;
    return count / this.#data.length;
  }

  /** Everything until the next `begin` is taken back at once. */
  begin(): void {
    this.version++;
    this.#past.push(this.#data.slice());
    if (this.#past.length > HISTORY) this.#past.shift();
    this.#future = [];
  }

  /** A round brush drawn from one point to another. @returns what may have changed */
  stroke(from: Point, to: Point, radius: number, value: 0 | 255): Rect {
    const rect = {
      left: Math.max(0, Math.floor(Math.min(from.x, to.x) - radius)),
      top: Math.max(0, Math.floor(Math.min(from.y, to.y) - radius)),
      right: Math.min(this.width, Math.ceil(Math.max(from.x, to.x) + radius) + 1),
      bottom: Math.min(this.height, Math.ceil(Math.max(from.y, to.y) + radius) + 1),
    };
    this.version++;
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const length = dx * dx + dy * dy;
    for (let y = rect.top; y < rect.bottom; y++)
      for (let x = rect.left; x < rect.right; x++) {
        const [px, py] = [x + 0.5 - from.x, y + 0.5 - from.y]; // a pixel counts by its middle
        const along = length === 0 ? 0 : Math.min(1, Math.max(0, (px * dx + py * dy) / length));
        const [ex, ey] = [px - along * dx, py - along * dy];
        if (ex * ex + ey * ey <= radius * radius) this.#data[y * this.width + x] = value;
      }
    return rect;
  }

  /** Takes all pixels from another mask, as one change. */
  replace(data: Uint8Array): void {
    this.begin();
    this.#data = data.slice();
  }

  undo(): void {
    const last = this.#past.pop();
    if (!last) return;
    this.version++;
    this.#future.push(this.#data);
    this.#data = last;
  }

  redo(): void {
    const next = this.#future.pop();
    if (!next) return;
    this.version++;
    this.#past.push(this.#data);
    this.#data = next;
  }

  /** Its pixels, apart from what is painted later. */
  image(): GrayImage {
    return { width: this.width, height: this.height, data: this.#data.slice() };
  }
}

/** Left, top, right and bottom as shares of the picture: where a garment usually is on somebody who fills it. */
const USUAL: Readonly<Record<Category, readonly [number, number, number, number]>> = {
  upperbody: [0.2, 0.24, 0.8, 0.76],
  lowerbody: [0.26, 0.46, 0.74, 0.94],
  dress: [0.2, 0.2, 0.8, 0.86],
};

/** A first mask for a picture that nothing is known of: a rounded box, for the user to correct. */
export function guessMask(width: number, height: number, category: Category): GrayImage {
  const [left, top, right, bottom] = USUAL[category];
  const mask = new Mask({ width, height, data: new Uint8Array(width * height) });
  const radius = 0.08 * width;
  const [x0, x1] = [left * width + radius, right * width - radius];
  for (let y = top * height + radius; y <= bottom * height - radius; y += radius / 2)
    mask.stroke({ x: x0, y }, { x: x1, y }, radius, 255);
  return mask.image();
}
