import type { DeviceLimits } from "../gpu/facts.ts";
import type { View } from "../gpu/kernel.ts";
import { bindRange, ranges } from "./bands.ts";
import index from "./lib/index.wgsl";
import shared from "./lib/pixel_chunks.wgsl";

// Kernels in which a thread owns four channels of a chunk of an image's pixels.

/** Threads of a workgroup. */
export const WG = 64;

/** What such a kernel's own file goes on from. */
export const chunkFiles = { "lib/index.wgsl": index, "lib/pixel_chunks.wgsl": shared };

export const chunkParams = {
  items: "u32",
  channels4: "u32",
  pixels: "u32",
  chunk: "u32",
  chunks: "u32",
  first_chunk: "u32",
  first_pixel: "u32",
  x_first: "u32",
} as const;

/** Images of [pixels, channels]. */
export interface PixelSizes {
  readonly images: number;
  readonly pixels: number;
  /** A multiple of 4. */
  readonly channels: number;
  readonly elem: "f32" | "f16";
}

const pixelBytes = ({ channels, elem }: PixelSizes): number => channels * (elem === "f16" ? 2 : 4);

const roomFor = (limits: DeviceLimits): number =>
  limits.maxStorageBufferBindingSize - Math.max(16, limits.minStorageBufferOffsetAlignment);

/** Pixels that one binding holds. */
export const mostPixels = (limits: DeviceLimits, sizes: PixelSizes): number =>
  Math.max(1, Math.floor(roomFor(limits) / pixelBytes(sizes)));

/** One dispatch over some of the chunks. */
export interface ChunkDispatch {
  readonly params: Readonly<Record<keyof typeof chunkParams, number>>;
  /** The binding of their pixels in a tensor of x's shape. */
  readonly of: (whole: View) => View;
  readonly groups: number;
}

/** All images in chunks of `chunk` pixels (an image's last one may have fewer), as many at a time as a binding holds. */
export function chunkDispatches(limits: DeviceLimits, sizes: PixelSizes, x: View, chunk: number): ChunkDispatch[] {
  const { images, pixels, channels } = sizes;
  const bytes = pixelBytes(sizes);
  const chunks = Math.ceil(pixels / chunk);
  const pixelOf = (index: number) => Math.floor(index / chunks) * pixels + Math.min((index % chunks) * chunk, pixels);
  const whole = images * pixels * bytes <= limits.maxStorageBufferBindingSize;
  const most = whole ? images * chunks : Math.max(1, Math.floor(roomFor(limits) / (chunk * bytes)));
  return ranges(images * chunks, most).map(({ start, length }) => {
    const first = pixelOf(start);
    const range = [first * bytes, (pixelOf(start + length) - first) * bytes] as const;
    const x_first = (bindRange(limits, x, ...range).skip / bytes) * (channels / 4);
    const items = (length * channels) / 4;
    const place = { first_chunk: start, first_pixel: first, x_first };
    return {
      params: { items, channels4: channels / 4, pixels, chunk, chunks, ...place },
      of: (view) => bindRange(limits, view, ...range).view,
      groups: Math.ceil(items / WG),
    };
  });
}
