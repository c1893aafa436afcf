import type { GrayImage, RgbImage } from "../../vision/image.ts";
import { LABEL } from "../../vision/labels.ts";
import { isMissing, POSE_HEIGHT, POSE_WIDTH, type KeyPoint, type Pose } from "../../vision/pose.ts";
import { jitterColours, type ColourJitter } from "./colour_jitter.ts";
import type { TryOnDataset, TryOnSample } from "./dataset.ts";
import { Stream } from "./random.ts";

/** How samples are varied. The defaults are those of IDM-VTON's and StableVITON's published training. */
export interface AugmentOptions {
  /** How often a sample is mirrored, garment and all. Default: 0.5. */
  readonly flip?: number;
  /** How often the person is moved, and by up to which share of the picture. Defaults: 0.5 and 0.2. */
  readonly shift?: number;
  /** Share of the picture's sides, either way. */
  readonly shiftLimit?: number;
  /** How often the person is enlarged or shrunk, and by up to which share. Defaults: 0.5 and 0.2. */
  readonly scale?: number;
  /** Share of the person's size, either way. */
  readonly scaleLimit?: number;
  /** How often colours are changed, alike on person and garment. Default: 0.5. */
  readonly colour?: number;
  /** How far colours may go. */
  readonly jitter?: ColourJitter;
}

/** The set with every sample varied: the same seed, epoch and number give the same sample. */
export function augmented(dataset: TryOnDataset, options: AugmentOptions & { readonly seed: number }): TryOnDataset {
  return {
    length: dataset.length,
    get: async (index, epoch = 0) =>
      augment(await dataset.get(index, epoch), new Stream(options.seed, epoch, index, AUGMENT), options),
    ...(dataset.close && { close: () => dataset.close!() }),
  };
}

/** Keeps these numbers apart from those that a drawn sample is made of. */
const AUGMENT = 0x61756721;

/** One sample varied. Every number is drawn whether it is used or not, so that options do not change one another. */
export function augment(sample: TryOnSample, stream: Stream, options: AugmentOptions): TryOnSample {
  const { flip = 0.5, shift = 0.5, shiftLimit = 0.2, scale = 0.5, scaleLimit = 0.2, colour = 0.5, jitter } = options;
  const flips = stream.chance(flip);
  const shifts = stream.chance(shift);
  const move = { x: stream.between(-shiftLimit, shiftLimit), y: stream.between(-shiftLimit, shiftLimit) };
  const scales = stream.chance(scale);
  const size = stream.between(1 - scaleLimit, 1 + scaleLimit);
  const colours = stream.chance(colour);
  const tint = jitterColours(stream, jitter);
  let varied = flips ? mirrored(sample) : sample;
  if (shifts || scales) varied = moved(varied, scales ? size : 1, shifts ? move : { x: 0, y: 0 });
  return colours ? recoloured(varied, tint) : varied;
}

const isColour = (image: RgbImage | GrayImage): boolean => image.data.length === 3 * image.width * image.height;

/** Every picture of the person through a function; the truth stays the person where it was. */
function overPerson(sample: TryOnSample, change: <I extends RgbImage | GrayImage>(image: I) => I): TryOnSample {
  const person = change(sample.person);
  const { truth, labels, mask } = sample;
  return {
    ...sample,
    person,
    truth: truth === sample.person ? person : truth && change(truth),
    mask: change(mask),
    labels: labels && change(labels),
  };
}

/** COCO's joints after left and right have changed places. */
const MIRRORED_JOINTS = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16];
const MIRRORED_LABELS = new Map<number, number>([
  [LABEL.leftShoe, LABEL.rightShoe],
  [LABEL.rightShoe, LABEL.leftShoe],
  [LABEL.leftLeg, LABEL.rightLeg],
  [LABEL.rightLeg, LABEL.leftLeg],
  [LABEL.leftArm, LABEL.rightArm],
  [LABEL.rightArm, LABEL.leftArm],
]);

function flipped<I extends RgbImage | GrayImage>(image: I): I {
  const channels = isColour(image) ? 3 : 1;
  const { width, height, data } = image;
  const out = new Uint8Array(data.length);
  for (let y = 0, at = 0; y < height; y++)
    for (let x = width - 1; x >= 0; x--)
      for (let c = 0; c < channels; c++, at++) out[at] = data[(y * width + x) * channels + c]!;
  return { ...image, data: out };
}

/** The sample in a mirror: left hands are right hands now. */
export function mirrored(sample: TryOnSample): TryOnSample {
  const { labels, pose, ...rest } = overPerson(sample, flipped);
  return {
    ...rest,
    garment: flipped(sample.garment),
    labels: labels && { ...labels, data: labels.data.map((label) => MIRRORED_LABELS.get(label) ?? label) },
    pose: pose && mirroredPose(pose),
  };
}

const mirroredPose = (pose: Pose): Pose =>
  MIRRORED_JOINTS.map((joint) => {
    const point = pose[joint]!;
    return isMissing(point) ? point : { x: POSE_WIDTH - point.x, y: point.y };
  });

/**
 * The person about the middle `scale` times as large, then moved by shares of the picture; edges are drawn out, in the
 * mask as in the picture: a garment that reaches the edge does so still.
 */
function moved(sample: TryOnSample, scale: number, by: KeyPoint): TryOnSample {
  const { width, height } = sample.person;
  const [cx, cy] = [width / 2 + by.x * width, height / 2 + by.y * height];
  const back = (to: number, centre: number, size: number) => (to + 0.5 - centre) / scale + size / 2 - 0.5;
  const columns = axis(width, (x) => back(x, cx, width));
  const rows = axis(height, (y) => back(y, cy, height));
  const resampled = overPerson(sample, (image) =>
    isColour(image)
      ? { ...image, data: bilinear(image, columns, rows) }
      : { ...image, data: nearest(image, columns, rows) },
  );
  const mask = { ...sample.mask, data: touched(sample.mask, columns, rows) };
  const place = ({ x, y }: KeyPoint): KeyPoint => {
    const to = {
      x: (x - POSE_WIDTH / 2) * scale + (0.5 + by.x) * POSE_WIDTH,
      y: (y - POSE_HEIGHT / 2) * scale + (0.5 + by.y) * POSE_HEIGHT,
    };
    return to.x < 0 || to.y < 0 || to.x > POSE_WIDTH || to.y > POSE_HEIGHT ? { x: 0, y: 0 } : to;
  };
  return { ...resampled, mask, pose: sample.pose?.map((point) => (isMissing(point) ? point : place(point))) };
}

/** For every pixel along an axis the two that it is mixed of, and the second one's share. */
interface Axis {
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly share: Float64Array;
}

/** @param from tells the place from which a pixel comes; what lies outside is the edge */
function axis(size: number, from: (to: number) => number): Axis {
  const share = Float64Array.from({ length: size }, (_, to) => Math.min(size - 1, Math.max(0, from(to))));
  const low = Int32Array.from(share, Math.floor);
  const high = Int32Array.from(share, Math.ceil);
  for (const [to, first] of low.entries()) share[to]! -= first;
  return { low, high, share };
}

function bilinear({ width, height, data }: RgbImage, columns: Axis, rows: Axis): Uint8Array {
  const out = new Uint8ClampedArray(data.length);
  for (let y = 0, at = 0; y < height; y++) {
    const [top, low, v] = [rows.low[y]!, rows.high[y]!, rows.share[y]!];
    for (let x = 0; x < width; x++) {
      const [left, right, u] = [columns.low[x]!, columns.high[x]!, columns.share[x]!];
      for (let c = 0; c < 3; c++, at++) {
        const a = data[3 * (top * width + left) + c]!;
        const b = data[3 * (top * width + right) + c]!;
        const d = data[3 * (low * width + left) + c]!;
        const e = data[3 * (low * width + right) + c]!;
        out[at] = (a + u * (b - a)) * (1 - v) + (d + u * (e - d)) * v;
      }
    }
  }
  return new Uint8Array(out.buffer);
}

function nearest({ width, height, data }: GrayImage, columns: Axis, rows: Axis): Uint8Array {
  const out = new Uint8Array(data.length);
  const pick = ({ low, high, share }: Axis, to: number) => (share[to]! < 0.5 ? low : high)[to]!;
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++, at++) out[at] = data[pick(rows, y) * width + pick(columns, x)]!;
  return out;
}

/** A mask of every pixel that `bilinear` mixes of one in the mask, however little of it: no rim of the garment shows. */
function touched({ width, height, data }: GrayImage, columns: Axis, rows: Axis): Uint8Array {
  const out = new Uint8Array(data.length);
  for (let y = 0, at = 0; y < height; y++) {
    const [top, low] = [rows.low[y]! * width, rows.high[y]! * width];
    for (let x = 0; x < width; x++, at++) {
      const [left, right] = [columns.low[x]!, columns.high[x]!];
      out[at] = Math.max(data[top + left]!, data[top + right]!, data[low + left]!, data[low + right]!);
    }
  }
  return out;
}

function recoloured(sample: TryOnSample, tint: (image: RgbImage) => RgbImage): TryOnSample {
  const person = tint(sample.person);
  const { truth } = sample;
  return {
    ...sample,
    person,
    garment: tint(sample.garment),
    truth: truth === sample.person ? person : truth && tint(truth),
  };
}
