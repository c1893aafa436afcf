import { FormatError, InputError, NonFiniteError, ShapeError } from "../util/errors.ts";
import type { Folder } from "../util/host.ts";
import { classify, squareTransform } from "./classify.ts";
import { channelsOf, type GrayImage, type RgbImage } from "./image.ts";
import { LABEL, maskOf } from "./labels.ts";
import type { OnnxOutput, OnnxSession } from "./onnx.ts";
import { whiteBox } from "./paste.ts";
import { closeSmallHoles } from "./refine.ts";
import type { Box } from "./resize.ts";
import { warpAffine } from "./warp.ts";

/** The two networks, and how to be rid of them. */
export interface Parsers {
  /** Labels clothes and parts of the body. */
  readonly atr: OnnxSession;
  /** undefined: no neck is labelled. */
  readonly lip: OnnxSession | undefined;
  /** Frees both. */
  close(): Promise<void>;
}

/** Where the published checkpoint folder keeps the networks. */
export const PARSERS = { atr: "humanparsing/parsing_atr.onnx", lip: "humanparsing/parsing_lip.onnx" } as const;

/** A file that a mask from a photo needs, and what works without. */
export const missingNetwork = (folder: Folder, path: string): InputError =>
  new InputError(
    folder.name,
    `${path} is missing; without it \`toile try-on\` works with --mask, \`toile mask\` with --labels and --keypoints`,
  );

/**
 * Looks whether a checkpoint folder has the parsing networks.
 * @param neck - see `openParsers`
 * @returns their paths
 * @throws InputError in one line that names a missing file
 */
export async function checkParsers(
  folder: Folder,
  { neck = true }: { readonly neck?: boolean } = {},
): Promise<string[]> {
  const paths = neck ? [PARSERS.atr, PARSERS.lip] : [PARSERS.atr];
  for (const path of paths) if (!(await folder.has(path))) throw missingNetwork(folder, path);
  return paths;
}

/**
 * Opens the parsing networks of a checkpoint folder.
 * @param open - makes a session of a file's bytes; the name is for its messages
 * @param neck - false: without LIP, which is needed for the neck only, which masks for lower_body do not need
 * @throws InputError in one line that names a missing file
 * @throws whatever `open` throws
 */
export async function openParsers(
  folder: Folder,
  open: (bytes: Uint8Array, name: string) => Promise<OnnxSession>,
  { neck = true }: { readonly neck?: boolean } = {},
): Promise<Parsers> {
  const paths = await checkParsers(folder, { neck });
  const sessions: OnnxSession[] = [];
  const close = async () => {
    for (const session of sessions) await session.close();
  };
  try {
    for (const path of paths) sessions.push(await open(await readAll(folder, path), path));
  } catch (error) {
    await close();
    throw error;
  }
  return { atr: sessions[0]!, lip: sessions[1], close };
}

async function readAll(folder: Folder, path: string): Promise<Uint8Array> {
  const source = await folder.open(path);
  try {
    return await source.read(0, source.size);
  } finally {
    await source.close?.();
  }
}

/** What the published parsing works on. */
const WIDTH = 384;
const HEIGHT = 512;

/** One of the two networks: the side of its square input, and its classes. */
interface Parser {
  readonly side: number;
  readonly classes: number;
}
const ATR: Parser = { side: 512, classes: 18 };
const LIP: Parser = { side: 473, classes: 20 };
const LIP_FACE = 13;

// Of ImageNet, blue first, as the networks were trained.
const MEAN = [0.406, 0.456, 0.485].map(Math.fround);
const DEVIATION = [0.225, 0.224, 0.229].map(Math.fround);

/** The networks' input for every byte, [3][256]. */
const NORMALISED = MEAN.map((mean, c) =>
  Float32Array.from({ length: 256 }, (_, byte) => Math.fround(Math.fround(byte / 255) - mean) / DEVIATION[c]!),
);

/**
 * Labels of the parts of a person by the two networks of SCHP (P. Li et al., Self-Correction for Human Parsing, 2019) as
 * the published try-on uses them: ATR's 18 classes with the small holes between clothes and arms closed, and as label
 * 18 the neck, where ATR sees a face and LIP does not. Label names are in `LABEL`.
 * @param image - 384x512
 * @param lip - undefined: no neck is labelled, which the mask for lower_body does not need
 * @returns labels 0…18, 384x512
 * @throws ShapeError for a picture of another size
 * @throws FormatError when a network's outputs are not those of a parser
 * @throws NonFiniteError when a network computes what is no number
 */
export async function parsePerson(image: RgbImage, atr: OnnxSession, lip: OnnxSession | undefined): Promise<GrayImage> {
  if (image.width !== WIDTH || image.height !== HEIGHT || channelsOf(image) !== 3)
    throw new ShapeError(
      "parsePerson",
      `a colour picture of ${WIDTH}x${HEIGHT} is needed, this one is ${image.width}x${image.height}`,
    );
  const parts = closeSmallHoles(await labelsOf(image, atr, ATR));
  const face = lip && whiteBox(maskOf(parts, [LABEL.face]));
  if (!lip || !face) return parts;
  const heads = await labelsOf(image, lip, LIP, face);
  const data = parts.data.map((label, i) => (label === LABEL.face && heads.data[i] !== LIP_FACE ? LABEL.neck : label));
  return { ...parts, data };
}

/** @param within - see `classify` */
async function labelsOf(image: RgbImage, session: OnnxSession, parser: Parser, within?: Box): Promise<GrayImage> {
  const { side } = parser;
  const outputs = await session.run(parserInput(image, side), [1, 3, side, side]);
  return classify(checkOutput(session.name, outputs, parser), side, image.width, image.height, within);
}

/** A picture as a parser's input: on a square, normalised, planes of blue, green and red [1, 3, side, side]. */
export function parserInput(image: RgbImage, side: number): Float32Array {
  const square = warpAffine(image, squareTransform(image.width, image.height, side), side, side);
  const area = side * side;
  const input = new Float32Array(3 * area);
  for (let i = 0; i < area; i++)
    for (let c = 0; c < 3; c++) input[c * area + i] = NORMALISED[c]![square.data[3 * i + 2 - c]!]!;
  return input;
}

/** The fused logits, which are the second output. */
function checkOutput(name: string, outputs: readonly OnnxOutput[], { classes, side }: Parser): OnnxOutput {
  const fused = outputs[1];
  if (!fused) throw new FormatError(name, `the network has ${outputs.length} output, a parser's logits are the second`);
  const [batch, channels, height, width] = fused.shape;
  const sound = fused.shape.length === 4 && batch === 1 && channels === classes && height! > 0 && width! > 0;
  if (!sound || fused.data.length !== classes * height! * width!)
    throw new FormatError(
      name,
      `the second output is [${fused.shape.join(", ")}], of a parser with ${classes} classes on ${side}x${side} it is [1, ${classes}, h, w]`,
    );
  const wrong = fused.data.findIndex(Number.isNaN);
  if (wrong >= 0) throw new NonFiniteError(name, `number ${wrong} of ${fused.data.length} of its output is NaN`);
  return fused;
}
