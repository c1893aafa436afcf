import type { GrayImage } from "./image.ts";

// Masks are pictures of 0 and 255; any byte but 0 counts as set.

/** What is set in any of the masks, which have one size. */
export function union(first: GrayImage, ...more: readonly GrayImage[]): GrayImage {
  const data = first.data.slice();
  for (const mask of more) for (let i = 0; i < data.length; i++) data[i]! |= mask.data[i]!;
  return { ...first, data };
}

/** What is set in one mask and not in another. */
export function without(mask: GrayImage, parts: GrayImage): GrayImage {
  const data = mask.data.slice();
  for (let i = 0; i < data.length; i++) if (parts.data[i] !== 0) data[i] = 0;
  return { ...mask, data };
}

/**
 * Dilation with a square of `size` x `size` pixels, centred; pixels outside the picture count as not set. Iterating a
 * square of 2r + 1 n times equals one square of 2nr + 1.
 * @param size - odd
 */
export function dilateBox({ width, height, data }: GrayImage, size: number): GrayImage {
  const radius = size >> 1;
  const rows = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) spread(data, rows, y * width, 1, width, radius);
  const out = new Uint8Array(data.length);
  for (let x = 0; x < width; x++) spread(rows, out, x, width, height, radius);
  return { width, height, data: out };
}

/** Sets whatever lies within `radius` of a set pixel on one row or column: it begins at `start`, in steps of `step`. */
function spread(from: Uint8Array, to: Uint8Array, start: number, step: number, length: number, radius: number): void {
  let done = 0; // everything before this position is written
  for (let i = 0; i < length; i++) {
    if (from[start + i * step] === 0) continue;
    const end = Math.min(length, i + radius + 1);
    for (let j = Math.max(done, i - radius); j < end; j++) to[start + j * step] = 255;
    done = end;
  }
}

/** Dilation with a disc of `radius` pixels: whatever lies at most that far from a set pixel's centre. */
export function dilateDisc(image: GrayImage, radius: number): GrayImage {
  const { width, height, data } = image;
  const vertical = columnDistances(image);
  const out = new Uint8Array(data.length);
  const reach = Math.min(Math.floor(radius), width + height - 1);
  const half = Int32Array.from({ length: reach + 1 }, (_, dy) => Math.min(width, Math.sqrt(radius * radius - dy * dy)));
  const change = new Int32Array(width + 1); // how many spans begin less how many end here
  for (let y = 0; y < height; y++) {
    change.fill(0);
    for (let x = 0; x < width; x++) {
      const dy = vertical[y * width + x]!;
      if (dy > reach) continue;
      change[Math.max(0, x - half[dy]!)]!++;
      change[Math.min(width, x + half[dy]! + 1)]!--;
    }
    for (let x = 0, open = 0; x < width; x++) if ((open += change[x]!) > 0) out[y * width + x] = 255;
  }
  return { width, height, data: out };
}

/** Rows to the nearest set pixel of the same column. */
function columnDistances({ width, height, data }: GrayImage): Int32Array {
  const far = width + height;
  const out = new Int32Array(data.length).fill(far);
  for (let x = 0; x < width; x++) {
    for (let y = 0, last = -far; y < height; y++) {
      if (data[y * width + x] !== 0) last = y;
      out[y * width + x] = y - last;
    }
    for (let y = height - 1, last = 2 * far + height; y >= 0; y--) {
      if (data[y * width + x] !== 0) last = y;
      out[y * width + x] = Math.min(out[y * width + x]!, last - y);
    }
  }
  return out;
}

/** The 4-connected region of one value that holds (x, y), as a mask. */
export function floodFill({ width, height, data }: GrayImage, x = 0, y = 0): GrayImage {
  const reached = new Uint8Array(data.length);
  const value = data[y * width + x]!;
  const stack = [y * width + x]; // one pixel of every run still to be filled
  while (stack.length > 0) {
    const at = stack.pop()!;
    if (reached[at] !== 0) continue;
    const row = at - (at % width);
    let left = at;
    while (left > row && data[left - 1] === value) left--;
    let right = at;
    while (right + 1 < row + width && data[right + 1] === value) right++;
    reached.fill(255, left, right + 1);
    for (const next of [row - width, row + width]) {
      if (next < 0 || next >= width * height) continue;
      for (let i = left + next - row, inside = false; i <= right + next - row; i++) {
        const open = data[i] === value && reached[i] === 0;
        if (open && !inside) stack.push(i);
        inside = open;
      }
    }
  }
  return { width, height, data: reached };
}

/**
 * The mask with everything that it encloses: what a 4-connected fill of the background from (0, 0) does not reach. The
 * outermost row and column on each side are cleared first, so that the background is one piece.
 */
export function fillHoles({ width, height, data }: GrayImage): GrayImage {
  const inner = new Uint8Array(data.length);
  for (let y = 1; y < height - 1; y++)
    for (let x = 1; x < width - 1; x++) inner[y * width + x] = data[y * width + x] === 0 ? 0 : 255;
  const outside = floodFill({ width, height, data: inner }).data;
  for (let i = 0; i < inner.length; i++) inner[i] = 255 - outside[i]!;
  return { width, height, data: inner };
}

/** The 4-connected pieces of a mask: by pixel the number of its piece (0 outside the mask), and pixels by number. */
export function connectedPieces({ width, height, data }: GrayImage): {
  readonly pieces: Int32Array;
  readonly sizes: readonly number[];
} {
  const pieces = new Int32Array(data.length);
  const sizes = [0];
  const stack: number[] = [];
  const visit = (at: number, piece: number) => {
    if (data[at] === 0 || pieces[at] !== 0) return;
    pieces[at] = piece;
    stack.push(at);
  };
  for (let start = 0; start < data.length; start++) {
    if (data[start] === 0 || pieces[start] !== 0) continue;
    const piece = sizes.push(0) - 1;
    visit(start, piece);
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      sizes[piece]!++;
      if (at % width > 0) visit(at - 1, piece);
      if (at % width < width - 1) visit(at + 1, piece);
      if (at >= width) visit(at - width, piece);
      if (at < width * (height - 1)) visit(at + width, piece);
    }
  }
  return { pieces, sizes };
}
