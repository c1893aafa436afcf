import type { LpipsNet } from "../models/lpips/trunk.ts";
import { InputError } from "../util/errors.ts";
import type { RgbImage } from "../vision/image.ts";
import { resize } from "../vision/resize.ts";

/**
 * paired: the person in the garment of the photo itself. unpaired: in another one, so that there is no right picture to
 * compare with, and the distances of whole sets are all that is measured.
 */
export const ORDERS = ["paired", "unpaired"] as const;
/** Which photographs results are compared with. */
export type Order = (typeof ORDERS)[number];

/** How published tables were measured: they differ, so that numbers of one say nothing beside numbers of the other. */
export interface Protocol {
  /** Network of its perceptual distance. */
  readonly lpips: LpipsNet;
  /** For people: what happens to the pictures first. */
  readonly resizing: string;
  /** Brings a picture and its reference to the size at which they are compared. */
  readonly fit: (generated: RgbImage, reference: RgbImage) => readonly [generated: RgbImage, reference: RgbImage];
  /** A reference before its features are taken, beside generated pictures of that height. */
  readonly fitReference: (reference: RgbImage, height: number) => RgbImage;
  /** By what kernel distances are multiplied in tables. */
  readonly kidScale: number;
  /** What generated file and reference have in common. */
  readonly key: (stem: string) => string;
}

const [WIDTH, HEIGHT] = [384, 512];

/** The reference at the generated picture's height, its shape kept. */
function toHeight(reference: RgbImage, height: number): RgbImage {
  if (reference.height === height) return reference;
  return resize(reference, Math.trunc((reference.width * height) / reference.height), height, "lanczos");
}

/**
 * `ladi-vton`: that of LaDI-VTON's val_metrics (Morelli et al. 2023, arXiv 2305.13501), whose evaluation OOTDiffusion
 * reuses. `catvton`: that of CatVTON's eval (Chong et al. 2024, arXiv 2407.15886).
 */
export const PROTOCOLS = {
  "ladi-vton": {
    lpips: "alex",
    resizing: "SSIM, PSNR and LPIPS: both to 384x512, bilinear; FID and KID: as they are",
    fit: (generated, reference) => [
      resize(generated, WIDTH, HEIGHT, "bilinear"),
      resize(reference, WIDTH, HEIGHT, "bilinear"),
    ],
    fitReference: (reference) => reference,
    kidScale: 1,
    key: (stem) => stem,
  },
  catvton: {
    lpips: "squeeze",
    resizing: "references to the height of the generated pictures, Lanczos",
    fit: (generated, reference) => [generated, toHeight(reference, generated.height)],
    fitReference: toHeight,
    kidScale: 1000,
    key: (stem) => /\d.{0,7}/.exec(stem)?.[0] ?? stem,
  },
} as const satisfies Record<string, Protocol>;

/** A protocol that is known. */
export type ProtocolName = keyof typeof PROTOCOLS;

/** Files by what the protocol matches them by. @throws InputError when two have the same */
export function byKey<T extends { readonly name: string }>(protocol: Protocol, files: readonly T[]): Map<string, T> {
  const found = new Map<string, T>();
  for (const file of files) {
    const key = keyOf(protocol, file.name);
    const other = found.get(key);
    if (other) throw new InputError(file.name, `has the same number as ${other.name}: "${key}"`);
    found.set(key, file);
  }
  return found;
}

/** Of a path: without its folders and its ending. */
export const keyOf = (protocol: Protocol, name: string): string =>
  protocol.key(name.replace(/^.*[/\\]/, "").replace(/\.[^.]*$/, ""));
