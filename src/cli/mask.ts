import { join } from "node:path";
import { z } from "zod";
import { directory } from "../node/files.ts";
import { encodePng, readImage } from "../node/images.ts";
import { MaskGenerator } from "../pipelines/mask.ts";
import { othersIn } from "../pipelines/pictures.ts";
import { fit, unfitMask } from "../vision/fit.ts";
import { compositeGray, type GrayImage } from "../vision/image.ts";
import { checkpointFolder } from "./checkpoints.ts";
import { DEBUG_FILES, debugFiles } from "./debug.ts";
import { adapterDevice } from "./device.ts";
import { EXIT, type ExitCode } from "./errors.ts";
import { maskFromFiles, maskSettings } from "./labels.ts";
import { interruptible, type Interrupt } from "./interrupt.ts";
import { file, maskOptions, parseOptions, refuseContradictions } from "./options.ts";
import { checkFolder, roundAll, writeAll } from "./output.ts";
import { say } from "./stderr.ts";
import type { FileContent } from "../util/host.ts";

/** Options as commander hands them over: strings and switches. */
export type MaskArguments = Readonly<Record<string, unknown>>;

const MaskOptions = z
  .object({
    person: file.optional(),
    labels: file.optional(),
    keypoints: file.optional(),
    ...maskOptions,
    out: file,
    json: z.boolean().default(false),
  })
  .superRefine(refuseContradictions)
  .superRefine(({ person, labels, keypoints, category }, context) => {
    const complain = (option: string, message: string) => context.addIssue({ code: "custom", path: [option], message });
    if (person === undefined && labels === undefined) complain("person", "is needed, or --labels and --keypoints");
    if (person !== undefined && labels !== undefined) complain("labels", "is found on the person: give one of the two");
    if (person !== undefined && keypoints !== undefined) complain("keypoints", "are found on the person: leave it out");
    if (labels !== undefined && keypoints === undefined && category !== "lowerbody") complain("keypoints", "is needed");
  });

type MaskOptions = z.infer<typeof MaskOptions>;

/** What `toile mask --json` prints. */
interface Report {
  readonly mask: string;
  readonly width: number;
  readonly height: number;
  /** Share of the picture that is masked, 0…1. */
  readonly share: number;
  /** Milliseconds of each phase, and of all with reading and loading. */
  readonly timings: Readonly<Record<string, number>>;
}

/** `toile mask`: from a photo, or from a label map and key points, to mask.png, one channel of 0 and 255. */
export async function mask(raw: MaskArguments): Promise<ExitCode> {
  const options = parseOptions(MaskOptions, raw);
  await checkFolder(options.out, ["mask.png"]);
  if (options.debug !== undefined) await checkFolder(options.debug, DEBUG_FILES);
  return interruptible((interrupt) => make(options, interrupt));
}

async function make(options: MaskOptions, interrupt: Interrupt): Promise<ExitCode> {
  const { out, json } = options;
  const began = performance.now();
  const {
    mask: made,
    extra,
    timings: phases,
    notes,
  } = await (options.person === undefined ? fromLabels(options) : fromPerson(options));
  const timings = roundAll({ ...phases, total: performance.now() - began });
  const path = join(out, "mask.png");
  const bytes = await encodePng(made);
  interrupt.finish();
  await writeAll([[path, bytes], ...extra]);
  for (const note of notes) say(`toile: note: ${note}`);
  const { width, height, data } = made;
  const share = data.reduce((count, value) => count + (value === 0 ? 0 : 1), 0) / data.length;
  const report: Report = { mask: path, width, height, share, timings };
  process.stdout.write(
    json ? `${JSON.stringify(report)}\n` : `${path}  ${width}x${height}, ${(100 * share).toFixed(1)} % masked\n`,
  );
  return EXIT.ok;
}

interface Made {
  readonly mask: GrayImage;
  /** Files of --debug. */
  readonly extra: readonly [path: string, content: FileContent][];
  /** Milliseconds of each phase. */
  readonly timings: Readonly<Record<string, number>>;
  /** One line each about what may spoil the mask. */
  readonly notes: readonly string[];
}

async function fromLabels(options: MaskOptions): Promise<Made> {
  const { mask, generated, time } = await maskFromFiles(options);
  const extra = options.debug === undefined ? [] : await debugFiles(options.debug, { mask, generated });
  return { mask, extra, timings: { mask: time }, notes: [] };
}

/** The size at which a photo is looked at, as the try-on's default. */
const LOOK = { width: 768, height: 1024 };

async function fromPerson(options: MaskOptions): Promise<Made> {
  const photo = await readImage(options.person!);
  const folder = directory(await checkpointFolder(options.checkpoints));
  const device = await adapterDevice();
  const generator = new MaskGenerator(device, folder);
  try {
    const { image, place } = fit(photo, { ...LOOK, mode: options.fit });
    const generated = await generator.generate(image, maskSettings(options));
    const mask = unfitMask(generated.mask, place);
    const masked = compositeGray(photo, mask, 127);
    const extra = options.debug === undefined ? [] : await debugFiles(options.debug, { mask, masked, generated });
    return { mask, extra, timings: generated.timings, notes: othersIn(generated) };
  } finally {
    await generator.dispose();
    device.destroy();
  }
}
