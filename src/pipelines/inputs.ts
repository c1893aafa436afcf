import type { FusionStrategy } from "../models/fusion/strategy.ts";
import type { Category, MaskMode, Protection } from "../vision/agnostic.ts";
import type { FitMode } from "../vision/fit.ts";
import type { GrayImage, RgbImage } from "../vision/image.ts";
import type { GeneratedMask } from "./mask.ts";
import type { Trace } from "./trace.ts";

/** Parts of a run, in the order in which they come; a run has those that it needs. */
export type Phase = "load" | "prompt" | "pose" | "parse" | "mask" | "encode" | "garment" | "denoise" | "decode";

/** A garment that is worn together with another. */
export interface WornGarment {
  /** The photograph of the garment, of any size. */
  readonly garment: RgbImage;
  readonly category: Category;
}

/** What a try-on is made from. Only `person` and `garment` are needed. */
export interface TryOnInputs {
  /** The photograph of the person, of any size. */
  readonly person: RgbImage;
  /** The photograph of the garment, of any size. */
  readonly garment: RgbImage;
  /** White where the new garment may go, over the person's picture at any size. Without it the mask is generated. */
  readonly mask?: GrayImage;
  /** Where each garment may go, in their order, as the mask tells where any may: `masked` heeds it. Default: the mask. */
  readonly regions?: readonly GrayImage[];
  /** What a given mask does to the generated one. Default replace: it is used alone, and none is generated. */
  readonly maskCombine?: "replace" | "add" | "subtract";
  /** How the mask is generated; see `agnosticMask`. */
  readonly maskMode?: MaskMode;
  /** Pixels of 384x512 by which a generated mask is widened. */
  readonly maskGrow?: number;
  /** Parts of the person that a generated mask spares; see `Protection`. */
  readonly protect?: Protection;
  /** What is done to a person's picture of another shape than the output's. Default pad; stretch is the published way. */
  readonly fit?: FitMode;
  /** Whether results are put back into the person's picture at its own size (`pasted`). */
  readonly pasteBack?: boolean;
  /** Whether a garment on a plain background is cut out of its photo's margins. */
  readonly trimGarment?: boolean;
  /** Default upperbody, the only one of the hd model. */
  readonly category?: Category;
  /** Further garments, worn at the same time in the same pass. */
  readonly moreGarments?: readonly WornGarment[];
  /** How garments enter the network: `fusionNamed("masked")`, or one of your own. Default OOTDiffusion's concatenation. */
  readonly fusion?: FusionStrategy;
  /** Pixels, multiples of 8. Default 768 × 1024. */
  readonly width?: number;
  /** Pixels, a multiple of 8. */
  readonly height?: number;
  /** Default 20. */
  readonly steps?: number;
  /** How strongly the result follows the garment; below 1 guidance is off and a step costs half. Default 2. */
  readonly guidanceScale?: number;
  /** Both halves of the guidance in one batch (2), or one after the other in less memory. Default auto: what fits. */
  readonly guidanceBatch?: "auto" | 1 | 2;
  /** Default 1. */
  readonly samples?: number;
  /** Of the noise, as `torch.Generator().manual_seed` on the CPU; -1, the default, draws one. */
  readonly seed?: number;
  /** `unipc` (default), `ddim`, … : see SCHEDULER_NAMES. */
  readonly scheduler?: string;
  /** [samples, 4, height/8, width/8] to begin with instead of the seed's. */
  readonly noise?: { readonly shape: readonly number[]; readonly data: Float32Array };
  /** Whether the person's latent is put back outside the mask after each step. Default true. */
  readonly repaint?: boolean;
  /** Receives every intermediate tensor. */
  readonly trace?: Trace;
  /** Ends the run between two pieces of work: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called after each denoising step, `done` from 1 to `total`. */
  readonly onStep?: (done: number, total: number) => void;
  /** Called as each phase begins (0 of 1), and after each step of `denoise`. */
  readonly onProgress?: (phase: Phase, done: number, total: number) => void;
  /**
   * Gets after each step what the first sample is expected to become, in a picture of a latent's size (an eighth of the
   * output's with the published autoencoder). Made without the autoencoder, so its colours are near ones.
   */
  readonly onPreview?: (image: RgbImage, done: number, total: number) => void;
}

/** What a try-on gives. */
export interface TryOnResult {
  /** One for each sample, of `width` × `height`. */
  readonly images: RgbImage[];
  /** With `pasteBack`: the person's own picture with each result in it. */
  readonly pasted: RgbImage[] | undefined;
  /** What a generated mask was made from. */
  readonly generated: GeneratedMask | undefined;
  /** One line each about what may spoil the result. */
  readonly warnings: readonly string[];
  /** What was painted, at the output's size: white where the garment might go. */
  readonly mask: GrayImage;
  /** The person without what was to be painted, at the output's size. */
  readonly masked: RgbImage;
  /** The garments as the network saw them, at the results' size. */
  readonly garments: readonly RgbImage[];
  /** Given again, it gives the same pictures. */
  readonly seed: number;
  /** Pixels. */
  readonly width: number;
  /** Pixels. */
  readonly height: number;
  /** Denoising steps. */
  readonly steps: number;
  /** As given, or the default. */
  readonly guidanceScale: number;
  /** Storage type of the networks. */
  readonly dtype: "f32" | "f16";
  /** Milliseconds of each phase. */
  readonly timings: Readonly<Record<string, number>>;
}
