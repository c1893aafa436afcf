import type { AgnosticOptions, GrayImage, Phase, TryOnInputs } from "toile";

// What page and worker say to each other. Pictures stay with the worker: the page holds their numbers and a bitmap.

export type Category = AgnosticOptions["category"];
export type Model = AgnosticOptions["model"];

/** A picture of the worker's, as the page shows it. */
export interface Shown {
  /** The worker's number for it, good until it is forgotten. */
  readonly id: number;
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly bitmap: ImageBitmap;
}

/** The checkpoint in use. */
export interface Checkpoint {
  /** Its manifest's name for it, or its folder's. */
  readonly checkpoint: string;
  readonly trained: readonly Model[];
  readonly models: readonly Model[];
  /** With what it paints best, where its manifest says so. */
  readonly sampling: Sampling | undefined;
}

export interface Sampling {
  readonly steps: number;
  readonly guidanceScale: number;
}

export interface Started extends Checkpoint {
  /** The adapter's name. */
  readonly adapter: string;
  readonly software: boolean;
  readonly schedulers: readonly string[];
}

/** A folder of somebody's own: its files by their paths in it. */
export interface ChosenFolder {
  readonly name: string;
  readonly files: ReadonlyMap<string, File>;
}

/** Bytes on the GPU. */
export interface MemoryReport {
  readonly now: number;
  readonly peak: number;
}

/** A drawn person with all that a mask can be made from, and a drawn garment. */
export interface Example {
  readonly person: Shown;
  readonly garment: Shown;
}

export type MaskSource =
  /** Of a drawn person: the exact label map and key points. */
  { readonly drawn: number } | { readonly labels: File; readonly keyPoints: File | undefined };

export interface TryOnRequest extends Required<
  Pick<
    TryOnInputs,
    "category" | "width" | "height" | "steps" | "guidanceScale" | "samples" | "seed" | "scheduler" | "trimGarment"
  >
> {
  readonly model: Model;
  /** Numbers of pictures. */
  readonly person: number;
  readonly garment: number;
  readonly mask: GrayImage;
  /** Whether results are put back into the person's picture at its own size. */
  readonly pasteBack: boolean;
}

export type TryOnEvent =
  | { readonly kind: "phase"; readonly phase: Phase; readonly done: number; readonly total: number }
  | { readonly kind: "preview"; readonly bitmap: ImageBitmap }
  | { readonly kind: "memory"; readonly memory: MemoryReport };

export interface TryOnReply {
  readonly images: readonly Shown[];
  readonly seed: number;
  readonly dtype: string;
  readonly warnings: readonly string[];
  /** Milliseconds by phase. */
  readonly timings: Readonly<Record<string, number>>;
  readonly memory: MemoryReport;
}

interface Shape<Input, Output, Event = never> {
  readonly input: Input;
  readonly output: Output;
  readonly event: Event;
}

/** What the page can ask for. Everything may be aborted. */
export interface Calls {
  /** Opens the adapter and reads what the checkpoint is. */
  readonly start: Shape<{ readonly weights: string }, Started>;
  /** Takes another checkpoint from now on, or the page's own again. */
  readonly use: Shape<ChosenFolder | "shipped", Checkpoint>;
  readonly picture: Shape<File, Shown>;
  readonly mask: Shape<File, GrayImage>;
  readonly draw: Shape<{ readonly model: Model; readonly category: Category; readonly index: number }, Example>;
  readonly makeMask: Shape<
    { readonly from: MaskSource; readonly model: Model; readonly category: Category },
    GrayImage
  >;
  /** Widened by pixels, or narrowed by negative ones. */
  readonly growMask: Shape<{ readonly mask: GrayImage; readonly pixels: number }, GrayImage>;
  readonly tryOn: Shape<TryOnRequest, TryOnReply, TryOnEvent>;
  readonly png: Shape<{ readonly id: number; readonly text: Readonly<Record<string, string>> }, Blob>;
  readonly forget: Shape<readonly number[], void>;
}

export type Call = keyof Calls;
export type Request =
  | { readonly [C in Call]: { readonly id: number; readonly call: C; readonly input: Calls[C]["input"] } }[Call]
  | { readonly id: number; readonly abort: true };

/** An error as it crosses. */
export interface Failure {
  readonly name: string;
  readonly message: string;
}

export type Reply =
  | { readonly id: number; readonly event: unknown }
  | { readonly id: number; readonly output: unknown }
  | { readonly id: number; readonly failure: Failure };
