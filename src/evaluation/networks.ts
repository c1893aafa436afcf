import { foldBatchNorms } from "../checkpoint/fold.ts";
import { loadModule } from "../checkpoint/load.ts";
import type { ByteSource, TensorSource } from "../checkpoint/source.ts";
import { openTensors } from "../checkpoint/tensors.ts";
import type { Device } from "../gpu/device.ts";
import { InceptionV3 } from "../models/inception/inception.ts";
import { Lpips } from "../models/lpips/lpips.ts";
import type { LpipsNet } from "../models/lpips/trunk.ts";
import { Tensor } from "../tensor/tensor.ts";
import { ShapeError } from "../util/errors.ts";
import type { RgbImage } from "../vision/image.ts";
import { resizeFloat } from "../vision/resize.ts";

/** Of the batch norms of TensorFlow's network. */
const INCEPTION_EPS = 0.001;

/** Files of a perceptual distance. */
export interface LpipsFiles {
  /** torchvision's classification network: `alexnet-owt-7be5be79.pth`, `vgg16-397923af.pth`, `squeezenet1_1-b8a52dc0.pth`. */
  readonly trunk: ByteSource;
  /** Its trained weighting, as the package lpips has it under `weights/v0.1`: `alex.pth`, `vgg.pth`, `squeeze.pth`. */
  readonly weights: ByteSource;
}

/** Loads a perceptual distance from its two files, in f32. @throws WeightsError, FormatError naming file and tensor */
export async function loadLpips(device: Device, net: LpipsNet, files: LpipsFiles): Promise<Lpips> {
  const model = new Lpips(net);
  try {
    const ignore = (key: string) => key.startsWith("classifier.");
    await using(files.trunk, (source) => loadModule(device, model.trunk, source, { ...options(net), ignore }));
    await using(files.weights, (source) => loadModule(device, model.weights, source, options("lpips")));
    return model;
  } catch (error) {
    model.dispose();
    throw error;
  }
}

/**
 * Loads the network of Fréchet distances from `pt_inception-2015-12-05-6726825d.pth`, the converted weights that
 * pytorch-fid and torch-fidelity publish (the latter as `weights-inception-2015-12-05-6726825d.pth`).
 * @throws WeightsError, FormatError naming file and tensor
 */
export async function loadInception(device: Device, file: ByteSource): Promise<InceptionV3> {
  const model = new InceptionV3();
  const ignore = (key: string) => key.startsWith("fc.");
  await using(file, (source) =>
    loadModule(device, model, foldBatchNorms(source, INCEPTION_EPS), { ...options("inception"), ignore }),
  );
  return model;
}

/** Distances and features are small numbers of which many digits are compared: f32 on every device. */
const options = (label: string) => ({ label, dtype: "f32" }) as const;

async function using<T>(file: ByteSource, work: (source: TensorSource) => Promise<T>): Promise<T> {
  const source = await openTensors(file);
  try {
    return await work(source);
  } finally {
    await source.close();
  }
}

/** Perceptual distance of two pictures of one size. @throws ShapeError */
export async function lpipsDistance(device: Device, model: Lpips, a: RgbImage, b: RgbImage): Promise<number> {
  if (a.width !== b.width || a.height !== b.height)
    throw new ShapeError("lpips", `pictures of ${a.width}x${a.height} and ${b.width}x${b.height}`);
  const values = new Float32Array(2 * a.data.length);
  for (const [i, { data }] of [a, b].entries()) values.set(Float32Array.from(data, signed), i * data.length);
  const pair = Tensor.from(device, values, [2, a.height, a.width, 3]);
  try {
    return await model.distance(pair);
  } finally {
    pair.dispose();
  }
}

const signed = (byte: number) => 2 * (byte / 255) - 1;

/** The size that Inception looks at. */
const LOOK = 299;

/**
 * A picture's 2048 features. It is resized as clean-fid does (Parmar et al. 2022, arXiv 2104.11222): bicubic with
 * antialiasing, not rounded to bytes.
 */
export async function inceptionFeatures(device: Device, model: InceptionV3, image: RgbImage): Promise<Float32Array> {
  const resized = resizeFloat(image, LOOK, LOOK, "bicubic");
  const values = resized.map((value) => (Math.min(255, Math.max(0, value)) - 128) / 128);
  const features = device.scope(() => model.forward(Tensor.from(device, values, [1, LOOK, LOOK, 3])));
  try {
    return await features.data();
  } finally {
    features.dispose();
  }
}
