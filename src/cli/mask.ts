import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { fileSource } from "../node/files.ts";
import { writePng } from "../node/images.ts";
import { readLabels } from "../node/labels.ts";
import { InputError } from "../util/errors.ts";
import { agnosticMask, type Protection } from "../vision/agnostic.ts";
import { parseKeyPoints } from "../vision/keypoints.ts";
import type { Pose } from "../vision/pose.ts";
import { EXIT, type ExitCode } from "./errors.ts";
import { file, oneOf, parseOptions, whole } from "./options.ts";

/** Options as commander hands them over: strings and switches. */
export type MaskArguments = Readonly<Record<string, unknown>>;

const PARTS = ["face", "hands", "shoes", "hair", "bag"] as const;

const parts = z
  .string()
  .transform((names) => names.split(",").map((name) => name.trim()))
  .pipe(z.array(z.enum(PARTS, { error: `is not a list of ${PARTS.join(",")}` })))
  .default([]);

const MaskOptions = z
  .object({
    labels: z.string({ error: "is needed, and --keypoints: finding them on a photo is not part of this version" }),
    keypoints: file.optional(),
    model: oneOf(["hd", "dc"]),
    category: oneOf(["upperbody", "lowerbody", "dress"]),
    maskMode: oneOf(["reference", "generous"]),
    maskGrow: whole(0, 4096),
    maskProtect: parts,
    maskExpose: parts,
    out: file,
    json: z.boolean().default(false),
  })
  .superRefine(({ model, category, keypoints, maskProtect, maskExpose }, context) => {
    const complain = (option: string, message: string) => context.addIssue({ code: "custom", path: [option], message });
    if (model === "hd" && category !== "upperbody")
      complain("category", "needs --model dc: the hd model knows upperbody only");
    if (keypoints === undefined && category !== "lowerbody") complain("keypoints", "is needed");
    if (maskExpose.some((part) => maskProtect.includes(part)))
      complain("maskExpose", "names a part that --mask-protect names too");
  });

/** What `toile mask --json` prints. */
interface Report {
  readonly mask: string;
  readonly width: number;
  readonly height: number;
  /** Share of the picture that is masked, 0…1. */
  readonly share: number;
  /** Milliseconds that making the mask took, without reading and writing. */
  readonly timings: Readonly<Record<"mask", number>>;
}

/** `toile mask`: from a label map and key points to mask.png, one channel of 0 and 255. */
export async function mask(raw: MaskArguments): Promise<ExitCode> {
  const options = parseOptions(MaskOptions, raw);
  const { model, category, maskMode: mode, maskGrow: grow, out, json } = options;
  const labels = await readLabels(options.labels);
  const pose = options.keypoints === undefined ? undefined : await readKeyPoints(options.keypoints);
  const protect: Protection = Object.fromEntries([
    ...options.maskProtect.map((part) => [part, true] as const),
    ...options.maskExpose.map((part) => [part, false] as const),
  ]);
  const began = performance.now();
  const made = agnosticMask(labels, pose, { model, category, mode, grow, protect });
  const ms = Math.round((performance.now() - began) * 10) / 10;
  await mkdir(out, { recursive: true }).catch((error: Error) => {
    throw new InputError(out, `cannot be made: ${error.message}`);
  });
  const path = join(out, "mask.png");
  await writePng(path, made);
  const { width, height, data } = made;
  const share = data.reduce((count, value) => count + (value === 0 ? 0 : 1), 0) / data.length;
  const report: Report = { mask: path, width, height, share, timings: { mask: ms } };
  process.stdout.write(
    json ? `${JSON.stringify(report)}\n` : `${path}  ${width}x${height}, ${(100 * share).toFixed(1)} % masked\n`,
  );
  return EXIT.ok;
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
