import { z } from "zod";
import type { Category, Protection } from "../vision/agnostic.ts";
import { SMALLEST } from "../pipelines/settings.ts";
import { SCHEDULER_NAMES, type SchedulerName } from "../schedulers/names.ts";
import { UsageError } from "./errors.ts";

/** Larger pictures are surely a slip of the finger: 8192² is 500 times the model's own size. */
const LARGEST = 8192;

export const whole = (least: number, most: number) =>
  z
    .string()
    .regex(/^[+-]?\d+$/, "is not a whole number")
    .transform(Number)
    .refine((value) => value >= least && value <= most, `is not between ${least} and ${most}`);

export const real = (least: number, most: number) =>
  z
    .string()
    .regex(/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i, "is not a number")
    .transform(Number)
    .refine((value) => value >= least && value <= most, `is not between ${least} and ${most}`);

export const oneOf = <const T extends readonly [string, ...string[]]>(names: T) =>
  z.enum(names, { error: `is not one of ${names.join(", ")}` });
export const file = z.string({ error: "is needed" }).min(1, "is empty");

export const size = whole(1, LARGEST).superRefine((value, context) => {
  const nearest = Math.max(SMALLEST, Math.round(value / 8) * 8);
  if (value === nearest) return;
  const wrong = value % 8 === 0 ? `is less than ${SMALLEST}` : "is not divisible by 8";
  context.addIssue({ code: "custom", message: `${wrong}; the nearest size is ${nearest}` });
});

const PARTS = ["face", "hands", "shoes", "hair", "bag"] as const;

const parts = z
  .string()
  .transform((names) => names.split(",").map((name) => name.trim()))
  .pipe(z.array(z.enum(PARTS, { error: `is not a list of ${PARTS.join(",")}` })))
  .default([]);

/** What a mask is for, and what shapes a generated one: `try-on` and `mask` have the same. */
export const maskOptions = {
  model: oneOf(["hd", "dc"]),
  category: oneOf(["upperbody", "lowerbody", "dress"]),
  maskMode: oneOf(["reference", "generous"]),
  maskGrow: whole(0, 4096),
  maskProtect: parts,
  maskExpose: parts,
  fit: oneOf(["pad", "crop", "stretch"]),
  checkpoints: file.optional(),
  debug: file.optional(),
};

export type MaskOptions = z.infer<z.ZodObject<typeof maskOptions>>;

/** Complains about mask options that contradict each other. */
export function refuseContradictions(
  options: MaskOptions,
  context: { addIssue: (issue: { code: "custom"; path: string[]; message: string }) => void },
): void {
  const complain = (option: string, message: string) => context.addIssue({ code: "custom", path: [option], message });
  if (options.model === "hd" && options.category !== "upperbody")
    complain("category", "needs --model dc: the hd model knows upperbody only");
  if (options.maskExpose.some((part) => options.maskProtect.includes(part)))
    complain("maskExpose", "names a part that --mask-protect names too");
}

/** `--mask-protect` and `--mask-expose` as the mask generator takes them. */
export const protectionOf = ({ maskProtect, maskExpose }: MaskOptions): Protection =>
  Object.fromEntries([
    ...maskProtect.map((part) => [part, true] as const),
    ...maskExpose.map((part) => [part, false] as const),
  ]);

/** `x,y x,y`, in pixels. */
const points = z
  .string()
  .regex(/^\d+,\d+(\s+\d+,\d+)*$/, 'is not a list of places such as "60,80 90,120"')
  .transform((text) =>
    text.split(/\s+/).map((place) => {
      const [x = 0, y = 0] = place.split(",").map(Number);
      return { x, y };
    }),
  );

/** `category:file`. */
const worn = z
  .string()
  .regex(/^(upperbody|lowerbody|dress):./, "is not category:file, such as lowerbody:skirt.png")
  .transform((text) => {
    const at = text.indexOf(":");
    return { category: text.slice(0, at) as Category, file: text.slice(at + 1) };
  });

export const SCHEDULERS = Object.keys(SCHEDULER_NAMES) as [SchedulerName, ...SchedulerName[]];

/** The options of `toile try-on`, from strings to what they mean. */
const TryOnOptions = z
  .object({
    person: file,
    garment: file,
    moreGarment: z.array(worn).default([]),
    fusion: file,
    mask: file.optional(),
    maskCombine: oneOf(["replace", "add", "subtract"]),
    labels: file.optional(),
    keypoints: file.optional(),
    ...maskOptions,
    unets: file.optional(),
    ema: z.boolean().default(false),
    pasteBack: z.boolean().default(false),
    trimGarment: z.boolean().default(false),
    width: size,
    height: size,
    steps: whole(1, 1000),
    scale: real(0, 100),
    samples: whole(1, 64),
    seed: whole(-1, Number.MAX_SAFE_INTEGER),
    scheduler: oneOf(SCHEDULERS),
    dtype: oneOf(["auto", "f32", "f16"]),
    offload: oneOf(["auto", "never", "always"]),
    memory: real(1, 1000).optional(),
    guidanceBatch: oneOf(["auto", "1", "2"]),
    noise: file.optional(),
    trace: file.optional(),
    attention: file.optional(),
    attentionPoints: points.optional(),
    repaint: z.boolean(),
    out: file,
    json: z.boolean().default(false),
  })
  .superRefine(refuseContradictions)
  .superRefine(({ attention, attentionPoints, width, height }, context) => {
    const places = Array.isArray(attentionPoints) ? attentionPoints : undefined; // what is malformed is said already
    const complain = (message: string) => context.addIssue({ code: "custom", path: ["attentionPoints"], message });
    if (places && attention === undefined) complain("needs --attention");
    if (places?.some(({ x, y }) => x >= width || y >= height)) complain(`leaves the result of ${width}x${height}`);
  })
  .superRefine(({ mask, labels, keypoints, category, moreGarment }, context) => {
    const complain = (option: string, message: string) => context.addIssue({ code: "custom", path: [option], message });
    if (mask !== undefined && labels !== undefined) complain("labels", "makes a mask: leave --mask out");
    if (labels === undefined && keypoints !== undefined) complain("keypoints", "needs --labels");
    const worn = [category, ...(Array.isArray(moreGarment) ? moreGarment : []).map((more) => more.category)];
    const isLower = worn.every((each) => each === "lowerbody");
    if (labels !== undefined && keypoints === undefined && !isLower) complain("keypoints", "is needed");
  })
  .superRefine(({ mask, maskCombine, unets, ema, model, moreGarment }, context) => {
    if (model === "hd" && moreGarment.some(({ category }) => category !== "upperbody"))
      context.addIssue({ code: "custom", path: ["moreGarment"], message: "needs --model dc: the hd model knows tops" });
    if (ema && unets === undefined)
      context.addIssue({ code: "custom", path: ["ema"], message: "needs --unets: a training keeps the averages" });
    if (mask === undefined && maskCombine !== "replace")
      context.addIssue({ code: "custom", path: ["maskCombine"], message: "needs --mask: there is nothing to combine" });
  });

export type TryOnOptions = z.infer<typeof TryOnOptions>;

export const parseTryOn = (raw: Readonly<Record<string, unknown>>): TryOnOptions => parseOptions(TryOnOptions, raw);

const dashed = (name: string) => name.replace(/[A-Z]/g, (capital) => `-${capital.toLowerCase()}`);

/** @throws UsageError that names every option that cannot be meant, on one line */
export function parseOptions<T>(schema: z.ZodType<T>, raw: Readonly<Record<string, unknown>>): T {
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const said = new Map<string, string>(); // the first complaint about each option is the one that counts
  for (const { path, message } of parsed.error.issues) {
    const name = String(path[0]);
    const given = raw[name] === undefined ? "" : ` "${String(raw[name])}"`;
    if (!said.has(name)) said.set(name, `--${dashed(name)}${given} ${message}`);
  }
  throw new UsageError([...said.values()].join("; "));
}
