import { join } from "node:path";
import { encodePng } from "../node/images.ts";
import type { GeneratedMask } from "../pipelines/mask.ts";
import type { GrayImage, RgbImage } from "../vision/image.ts";
import { colouriseLabels } from "../vision/labels.ts";
import { drawSkeleton } from "../vision/skeleton.ts";

/** Every file that `debugFiles` may give. */
export const DEBUG_FILES = ["mask.png", "masked.png", "labels.png", "keypoints.json", "skeleton.png"] as const;

interface Shown {
  readonly mask: GrayImage;
  readonly masked?: RgbImage;
  readonly generated?: Sources | undefined;
}

/** What a mask was made from and what it hides, ready to be written into a folder. */
export async function debugFiles(
  folder: string,
  { generated, mask, masked }: Shown,
): Promise<[path: string, bytes: Uint8Array][]> {
  const files: [string, Uint8Array][] = [[join(folder, "mask.png"), await encodePng(mask)]];
  if (masked) files.push([join(folder, "masked.png"), await encodePng(masked)]);
  return generated ? [...files, ...(await sources(folder, generated))] : files;
}

/** What a mask was made from; `picture` is there when it was made from one. */
export type Sources = Pick<GeneratedMask, "labels" | "pose"> & Partial<Pick<GeneratedMask, "picture">>;

async function sources(folder: string, { labels, pose, picture }: Sources): Promise<[string, Uint8Array][]> {
  const files: [string, Uint8Array][] = [[join(folder, "labels.png"), await encodePng(colouriseLabels(labels))]];
  if (!pose) return files;
  const points = { pose_keypoints_2d: pose.map(({ x, y }) => [x, y]) };
  const skeleton = drawSkeleton(pose, labels.width, labels.height, picture && { over: picture });
  files.push([join(folder, "keypoints.json"), new TextEncoder().encode(`${JSON.stringify(points)}\n`)]);
  files.push([join(folder, "skeleton.png"), await encodePng(skeleton)]);
  return files;
}
