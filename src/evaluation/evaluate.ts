import { InputError, ToileError } from "../util/errors.ts";
import type { RgbImage } from "../vision/image.ts";
import { frechetDistance, kernelDistance } from "./distances.ts";
import { byKey, keyOf, PROTOCOLS, type Order, type ProtocolName } from "./protocols.ts";
import { psnr, ssim, SSIM } from "./similarity.ts";

/** A picture's file. */
export interface PictureFile {
  /** Its path in the folder. */
  readonly name: string;
  /** Of its bytes: the same file is not measured again. */
  digest(): Promise<string>;
  read(): Promise<RgbImage>;
}

/** What was measured before, by keys that name everything it depends on. */
export interface Journal {
  get(key: string): string | undefined;
  put(key: string, value: string): Promise<void>;
}

/** What `evaluate` measures, and with what. */
export interface EvaluationInputs {
  /** How. */
  readonly protocol: ProtocolName;
  /** Whether the references show the same garments. */
  readonly order: Order;
  /** The results. */
  readonly generated: readonly PictureFile[];
  /** The photographs that they are compared with. */
  readonly reference: readonly PictureFile[];
  /** Perceptual distance by the protocol's network; `id` tells its weights from others. */
  readonly lpips?: { readonly id: string; measure(a: RgbImage, b: RgbImage): Promise<number> } | undefined;
  /** Features of a picture; `id` tells the weights from others. */
  readonly inception?: { readonly id: string; measure(image: RgbImage): Promise<Float32Array> } | undefined;
  /** Keeps what was measured; a `Map` behind two functions is one. */
  readonly journal: Journal;
  /** Ends the measuring between two pictures. */
  readonly signal?: AbortSignal | undefined;
  /** Called after each picture: `done` of `total` of the phase. */
  readonly onProgress?: ((phase: "compare" | "features", done: number, total: number) => void) | undefined;
}

/** Of a pair of pictures, or the mean over all pairs. PSNR is infinite for equal pictures, which JSON shows as null. */
export interface PairScores {
  /** As torchmetrics has it today. */
  readonly ssim: number;
  /** As torchmetrics had it up to release 1.4, with which the published tables were made. */
  readonly ssimTorchmetrics14: number;
  readonly ssimSkimage: number;
  /** Decibels. */
  readonly psnr: number;
  readonly lpips?: number;
}

export interface SetScores {
  readonly fid?: number;
  /** Times the protocol's factor. */
  readonly kid?: number;
}

export interface ImageScores extends PairScores {
  readonly name: string;
  readonly reference: string;
}

/** What `evaluate` found. */
export interface Evaluation {
  /** The protocol asked for. */
  readonly protocol: ProtocolName;
  /** The order asked for. */
  readonly order: Order;
  /** Means over all pairs, and the distances of the two sets. */
  readonly scores: Partial<PairScores> & SetScores;
  /** Each pair's own scores. */
  readonly images: readonly ImageScores[];
  /** Files that could not be measured, and why: one line each. */
  readonly skipped: readonly { readonly file: string; readonly why: string }[];
  /** Pictures that were measured. */
  readonly counts: {
    readonly generated: number;
    readonly reference: number;
    /** References that no generated picture belongs to: of a set that was dressed in part, or not to the end. */
    readonly unmatched: number;
    /** Measurements that were taken, and those that the journal had already. */
    readonly measured: number;
    readonly resumed: number;
  };
}

/**
 * Measures generated pictures against references under a named protocol. What is measured goes into the journal at
 * once, so that a second call with the same journal goes on where the first one stopped.
 * @throws InputError when nothing can be measured
 */
export async function evaluate(inputs: EvaluationInputs): Promise<Evaluation> {
  const { protocol: name, order, generated, reference } = inputs;
  const run = new Run(inputs);
  const images = order === "paired" ? await run.compare() : [];
  const sets = inputs.inception ? await run.distributions() : {};
  const counts = { generated: generated.length, reference: reference.length, ...run.counts };
  return { protocol: name, order, scores: { ...mean(images), ...sets }, images, skipped: run.skipped, counts };
}

/** One call at work. */
class Run {
  readonly skipped: { file: string; why: string }[] = [];
  readonly counts = { unmatched: 0, measured: 0, resumed: 0 };
  readonly #inputs: EvaluationInputs;

  constructor(inputs: EvaluationInputs) {
    this.#inputs = inputs;
  }

  /** Picture by picture, those of the generated ones that have a reference. */
  async compare(): Promise<ImageScores[]> {
    const { protocol: name, generated, reference, lpips, onProgress } = this.#inputs;
    const protocol = PROTOCOLS[name];
    const references = byKey(protocol, reference);
    const asked = new Set(generated.map((file) => keyOf(protocol, file.name)));
    this.counts.unmatched = [...references.keys()].filter((key) => !asked.has(key)).length;
    const images: ImageScores[] = [];
    for (const [i, file] of generated.entries()) {
      onProgress?.("compare", i, generated.length);
      const other = references.get(keyOf(protocol, file.name));
      if (!other) {
        this.skipped.push({ file: file.name, why: "has no reference" });
        continue;
      }
      const key = async () => ["pair", name, lpips?.id ?? "none", await file.digest(), await other.digest()].join(" ");
      const scores = await this.#measured(file.name, key, async () => {
        const [a, b] = protocol.fit(await file.read(), await other.read());
        const distance = lpips && (await lpips.measure(a, b));
        return JSON.stringify({ ...similarities(a, b), ...(distance !== undefined && { lpips: distance }) });
      });
      if (scores === undefined) continue;
      const found = JSON.parse(scores) as PairScores;
      images.push({ name: file.name, reference: other.name, ...found, psnr: found.psnr ?? Infinity });
    }
    onProgress?.("compare", generated.length, generated.length);
    return images;
  }

  /** Both sides' features, and how far apart they are. */
  async distributions(): Promise<SetScores> {
    const { protocol: name, generated, reference } = this.#inputs;
    const protocol = PROTOCOLS[name];
    const total = generated.length + reference.length;
    const height = await this.#heightOf(generated);
    const made: Float32Array[] = [];
    for (const [i, file] of generated.entries()) {
      const features = await this.#features(file, i, total, "own", (image) => image);
      if (features) made.push(features);
    }
    if (made.length < 2) throw new InputError("evaluate", `${made.length} generated pictures are too few for FID`);
    const real: Float32Array[] = [];
    const rule = `${name} ${height}`;
    for (const [i, file] of reference.entries()) {
      const fit = (image: RgbImage) => protocol.fitReference(image, height);
      const features = await this.#features(file, generated.length + i, total, rule, fit);
      if (features) real.push(features);
    }
    if (real.length < 2) throw new InputError("evaluate", `${real.length} references are too few for FID`);
    return { fid: frechetDistance(made, real), kid: protocol.kidScale * kernelDistance(made, real) };
  }

  /** Of the first generated picture that can be read: all have the same. */
  async #heightOf(files: readonly PictureFile[]): Promise<number> {
    for (const file of files) {
      const image = await file.read().catch(() => undefined);
      if (image) return image.height;
    }
    throw new InputError("evaluate", "no generated picture can be read");
  }

  async #features(
    file: PictureFile,
    done: number,
    total: number,
    rule: string,
    fit: (image: RgbImage) => RgbImage,
  ): Promise<Float32Array | undefined> {
    const { inception, onProgress } = this.#inputs;
    onProgress?.("features", done, total);
    const key = async () => ["features", inception!.id, rule, await file.digest()].join(" ");
    const text = await this.#measured(file.name, key, async () =>
      encode(await inception!.measure(fit(await file.read()))),
    );
    return text === undefined ? undefined : decode(text);
  }

  /**
   * What the journal knows by the key, or a measurement, which it then knows. A picture that cannot be measured is
   * noted, and the others go on; what is not the picture's fault goes to the caller.
   */
  async #measured(
    file: string,
    keyOfFile: () => Promise<string>,
    measure: () => Promise<string>,
  ): Promise<string | undefined> {
    const { signal, journal } = this.#inputs;
    signal?.throwIfAborted();
    let [key, value] = ["", ""];
    try {
      key = await keyOfFile();
      const before = journal.get(key);
      if (before !== undefined) {
        this.counts.resumed++;
        return before;
      }
      value = await measure();
    } catch (error) {
      if (!(error instanceof ToileError) || !isAboutPicture(error)) throw error;
      if (!this.skipped.some((skipped) => skipped.file === file)) this.skipped.push({ file, why: error.message });
      return undefined;
    }
    await journal.put(key, value);
    this.counts.measured++;
    return value;
  }
}

/** Sizes that differ and files that are damaged; a lost device is not a picture's fault. */
const isAboutPicture = (error: ToileError): boolean => ["InputError", "ShapeError", "FormatError"].includes(error.name);

const similarities = (a: RgbImage, b: RgbImage) => ({
  ssim: ssim(a, b, SSIM.torchmetrics),
  ssimTorchmetrics14: ssim(a, b, SSIM["torchmetrics-1.4"]),
  ssimSkimage: ssim(a, b, SSIM.skimage),
  psnr: psnr(a, b),
});

function mean(images: readonly ImageScores[]): Partial<PairScores> {
  if (images.length === 0) return {};
  const names = ["ssim", "ssimTorchmetrics14", "ssimSkimage", "psnr", "lpips"] as const;
  const known = names.filter((name) => images[0]![name] !== undefined);
  const average = (name: (typeof names)[number]) =>
    images.reduce((sum, image) => sum + (image[name] ?? NaN), 0) / images.length;
  return Object.fromEntries(known.map((name) => [name, average(name)]));
}

const encode = (values: Float32Array): string =>
  btoa(
    Array.from(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), (byte) =>
      String.fromCharCode(byte),
    ).join(""),
  );

const decode = (text: string): Float32Array =>
  new Float32Array(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer);
