import { fileSource } from "../node/files.ts";
import { readLabels } from "../node/labels.ts";
import { InputError } from "../util/errors.ts";
import { agnosticMask, combineMasks, type AgnosticOptions, type Category } from "../vision/agnostic.ts";
import type { GrayImage } from "../vision/image.ts";
import { parseKeyPoints } from "../vision/keypoints.ts";
import type { Pose } from "../vision/pose.ts";
import { protectionOf, type MaskOptions } from "./options.ts";

/** Mask options as the mask generator takes them. */
export const maskSettings = (options: MaskOptions): AgnosticOptions => ({
  model: options.model,
  category: options.category,
  mode: options.maskMode,
  grow: options.maskGrow,
  protect: protectionOf(options),
});

interface LabelFiles {
  readonly labels?: string | undefined;
  readonly keypoints?: string | undefined;
}

interface FromFiles {
  readonly mask: GrayImage;
  /** Where each garment may go. */
  readonly regions: readonly GrayImage[];
  readonly generated: { readonly labels: GrayImage; readonly pose: Pose | undefined };
  /** Milliseconds that the mask took, once everything was read. */
  readonly time: number;
}

/**
 * The mask that `--labels` and `--keypoints` say.
 * @param more - categories of what is worn at once; the mask is where any of it may go
 */
export async function maskFromFiles(
  options: MaskOptions & LabelFiles,
  more: readonly Category[] = [],
): Promise<FromFiles> {
  const labels = await readLabels(options.labels!);
  const pose = options.keypoints === undefined ? undefined : await readKeyPoints(options.keypoints);
  const began = performance.now();
  const settings = maskSettings(options);
  const regions = [options.category, ...more].map((category) => agnosticMask(labels, pose, { ...settings, category }));
  const mask = regions.reduce((a, b) => combineMasks(a, b, "add"));
  return { mask, regions, generated: { labels, pose }, time: performance.now() - began };
}

/** Key points are hundreds of bytes; a file of megabytes is another one. */
const MAX_JSON = 2 ** 20;

async function readKeyPoints(path: string): Promise<Pose> {
  const source = await fileSource(path);
  try {
    if (source.size > MAX_JSON) throw new InputError(path, `${source.size} bytes are too many for key points`);
    return parseKeyPoints(path, new TextDecoder().decode(await source.read(0, source.size)));
  } finally {
    await source.close();
  }
}
