import type { Folder } from "../checkpoint/source.ts";
import type { Device } from "../gpu/device.ts";
import { InputError } from "../util/errors.ts";
import type { OpenposeBody } from "../models/openpose/body.ts";
import {
  MASK_HEIGHT,
  MASK_WIDTH,
  agnosticMask,
  combineMasks,
  type AgnosticOptions,
  type Category,
} from "../vision/agnostic.ts";
import type { GrayImage, RgbImage } from "../vision/image.ts";
import { checkParsers, openParsers, parsePerson, type Parsers } from "../vision/parsing.ts";
import type { Pose } from "../vision/pose.ts";
import { resize } from "../vision/resize.ts";
import { estimatePose, findPoseNetwork, openPoseNetwork } from "./pose.ts";

export interface GenerateOptions extends AgnosticOptions {
  /** Read key points as the published system does, other people's joints included. Default false. */
  readonly compat?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((phase: MaskPhase) => void) | undefined;
}

export interface GeneratedMask {
  /** 255 where the garment may go, at the picture's size. */
  readonly mask: GrayImage;
  /** With several garments where each of them may go; `mask` is where any may. */
  readonly regions?: readonly GrayImage[];
  /** What each pixel shows, 0…18, 384x512. */
  readonly labels: GrayImage;
  /** 18 key points in 384x512; none for lower bodies, whose mask does not need them. */
  readonly pose: Pose | undefined;
  /** How many people the key points belong to; 0 where none were looked for. */
  readonly people: number;
  /** What the networks were shown: the picture at 384x512. */
  readonly picture: RgbImage;
  /** Milliseconds of each phase, loading of networks included. */
  readonly timings: Readonly<Record<MaskPhase, number>>;
}

export type MaskPhase = "pose" | "parse" | "mask";

/** One mask for garments that are worn at once: white where any of them may go. */
export function unitedMasks(made: readonly GeneratedMask[]): GeneratedMask {
  const [first, ...others] = made;
  if (others.every((other) => other === first)) return first!;
  const regions = made.map(({ mask }) => mask);
  const mask = regions.reduce((a, b) => combineMasks(a, b, "add"));
  return { ...(made.find(({ pose }) => pose) ?? first!), mask, regions }; // lower bodies have no key points
}

/** Looks whether a folder has the networks that a category's mask needs. @throws InputError that names a missing file */
export async function checkMaskNetworks(folder: Folder, category: Category): Promise<void> {
  await checkParsers(folder, { neck: category !== "lowerbody" });
  if (category !== "lowerbody") await findPoseNetwork(folder);
}

/**
 * The published way from a person's picture to the mask: key points, human parsing, and the region they give. Networks
 * are loaded from the checkpoint's folder when they are first needed.
 */
export class MaskGenerator {
  readonly #device: Device;
  readonly #folder: Folder;
  #pose: Promise<OpenposeBody> | undefined;
  #parsers: { readonly neck: boolean; readonly opened: Promise<Parsers> } | undefined;

  constructor(device: Device, folder: Folder) {
    this.#device = device;
    this.#folder = folder;
  }

  /**
   * @param person any size; it is squeezed into 384x512, as published
   * @throws InputError that names a missing file, NoPersonError, EmptyMaskError
   */
  async generate(person: RgbImage, options: GenerateOptions): Promise<GeneratedMask> {
    const { category, compat = false, signal, onProgress } = options;
    const timings: Record<MaskPhase, number> = { pose: 0, parse: 0, mask: 0 };
    const timed = async <T>(phase: MaskPhase, work: () => Promise<T>): Promise<T> => {
      signal?.throwIfAborted();
      onProgress?.(phase);
      const began = performance.now();
      const result = await work();
      timings[phase] += performance.now() - began;
      return result;
    };
    const picture = resize(person, MASK_WIDTH, MASK_HEIGHT, "bicubic");
    const whole = category !== "lowerbody"; // a lower body's mask needs neither key points nor the neck
    await checkMaskNetworks(this.#folder, category);
    signal?.throwIfAborted();
    const began = performance.now();
    const parsers = await this.#open(whole); // before the pose, which takes seconds: this fails in a moment
    timings.parse = performance.now() - began;
    const findPose = async () => estimatePose(this.#device, await this.#network(), picture, { compat });
    const found = whole ? await timed("pose", findPose) : undefined;
    const pose = found?.pose;
    const labels = await timed("parse", () => parsePerson(picture, parsers.atr, whole ? parsers.lip : undefined));
    const mask = await timed("mask", async () =>
      resize(agnosticMask(labels, pose, options), person.width, person.height, "nearest"),
    );
    signal?.throwIfAborted();
    return { mask, labels, pose, people: found?.people.length ?? 0, picture, timings };
  }

  async dispose(): Promise<void> {
    const [pose, parsers] = [this.#pose, this.#parsers];
    this.#pose = undefined;
    this.#parsers = undefined;
    (await pose?.catch(() => undefined))?.dispose();
    await (await parsers?.opened.catch(() => undefined))?.close();
  }

  /** A network that failed to load is tried again the next time. */
  #network(): Promise<OpenposeBody> {
    this.#pose ??= openPoseNetwork(this.#device, this.#folder).catch((error: unknown) => {
      this.#pose = undefined;
      throw error;
    });
    return this.#pose;
  }

  /** Both parsing networks where the neck is needed, else only the first. */
  async #open(neck: boolean): Promise<Parsers> {
    const { host } = this.#device;
    if (!host)
      throw new InputError("mask", "human parsing needs ONNX Runtime, which this device's host does not offer");
    if (this.#parsers && (this.#parsers.neck || !neck)) return this.#parsers.opened;
    await (await this.#parsers?.opened)?.close();
    const opened = openParsers(this.#folder, (bytes, name) => host.openOnnx(bytes, name), { neck });
    this.#parsers = { neck, opened };
    return opened.catch((error: unknown) => {
      this.#parsers = undefined;
      throw error;
    });
  }
}
