import type { Device } from "../gpu/device.ts";
import { Tensor } from "../tensor/tensor.ts";
import { ShapeError } from "../util/errors.ts";
import { TorchGenerator } from "../util/random.ts";
import { sameShape, show, type Shape } from "../util/shape.ts";
import { biasedTimesteps, snrWeight, type NoiseLevels, type TimestepBias } from "./noise_levels.ts";
import type { TryOnBatch } from "./tryon_loss.ts";

/** One pair as the UNets see it. Latents are [h, w, c]; the numbers are the host's, so that a whole set fits. */
export interface EncodedPair {
  readonly shape: Shape;
  /** The person in the garment, scaled by the VAE's factor: what the noise is added to. */
  readonly target: Float32Array;
  /** The masked person, unscaled. */
  readonly masked: Float32Array;
  /** The garment, unscaled. */
  readonly garment: Float32Array;
  /** 1 where the garment may go, [h, w, 1]. */
  readonly region: Float32Array;
  /** [tokens, cross_attention_dim]. */
  readonly promptEmbeds: Float32Array;
  readonly promptShape: Shape;
}

export interface NoiseOptions {
  readonly levels: NoiseLevels;
  /** Share of the samples whose garment is left out, so that guidance has something to compare with. */
  readonly garmentDropout?: number;
  /** γ of the min-SNR weights; none: every timestep counts the same. */
  readonly snrGamma?: number | undefined;
  /** Strength of an offset added to the noise, the same over each channel of a sample. */
  readonly noiseOffset?: number;
  /** Which timesteps are drawn more often; none: all alike. */
  readonly timestepBias?: TimestepBias | undefined;
}

/** What is drawn at random for a batch. */
export interface BatchDraw {
  readonly timesteps: readonly number[];
  readonly dropped: readonly boolean[];
  /** [n, h, w, c]. */
  readonly noise: Float32Array;
}

/**
 * Draws a batch's noise, timesteps and dropped garments. They depend on the seed and the batch's number alone, so that
 * a run that goes on later draws what it would have drawn.
 */
export function drawBatch(seed: number, batch: number, samples: number, size: Shape, options: NoiseOptions): BatchDraw {
  const { levels, garmentDropout = 0.1, noiseOffset = 0, timestepBias } = options;
  const generator = new TorchGenerator(mixSeeds(seed, batch));
  const timesteps = timestepBias
    ? biasedTimesteps(generator.rand([samples]), levels.count, timestepBias)
    : [...generator.randint(0, levels.count, [samples])];
  const dropped = [...generator.rand([samples])].map((chance) => chance < garmentDropout);
  const noise = generator.randn([samples, ...size]);
  if (noiseOffset > 0) {
    const channels = size.at(-1)!;
    const offsets = generator.randn([samples, channels]);
    const each = noise.length / samples;
    for (let i = 0; i < noise.length; i++)
      noise[i]! += noiseOffset * offsets[Math.floor(i / each) * channels + (i % channels)]!;
  }
  return { timesteps, dropped, noise };
}

/** A 32-bit seed for part `part` of a run (Steele et al. 2014, the finaliser of SplitMix). */
export function mixSeeds(seed: number, part: number): number {
  let x = (Math.imul(part + 1, 0x9e3779b9) ^ seed) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/**
 * Puts pairs and what was drawn for them on the device. The tensors belong to the caller's scope.
 * @throws ShapeError when pairs of several sizes are mixed
 */
export function makeBatch(
  device: Device,
  pairs: readonly EncodedPair[],
  { timesteps, dropped, noise }: BatchDraw,
  { levels, snrGamma }: NoiseOptions,
): TryOnBatch {
  const { shape, promptShape } = pairs[0]!;
  for (const pair of pairs)
    if (!sameShape(pair.shape, shape) || !sameShape(pair.promptShape, promptShape))
      throw new ShapeError("makeBatch", `pairs of ${show(shape)} and ${show(pair.shape)} cannot share a batch`);
  const size = pairs[0]!.target.length;
  const stack = (arrays: readonly Float32Array[], each: Shape) => {
    const all = new Float32Array(arrays.length * arrays[0]!.length);
    for (const [i, array] of arrays.entries()) all.set(array, i * array.length);
    return Tensor.from(device, all, [arrays.length, ...each]);
  };
  const noisy = pairs.map(({ target }, n) => {
    const [signal, level] = [levels.signal[timesteps[n]!]!, levels.noise[timesteps[n]!]!];
    return target.map((value, i) => signal * value + level * noise[n * size + i]!);
  });
  const velocities = () => {
    const all = pairs.map(({ target }, n) => {
      const [signal, level] = [levels.signal[timesteps[n]!]!, levels.noise[timesteps[n]!]!];
      return target.map((value, i) => signal * noise[n * size + i]! - level * value);
    });
    return stack(all, shape);
  };
  const garments = pairs.map(({ garment }, n) => (dropped[n] ? new Float32Array(garment.length) : garment));
  return {
    noisy: stack(noisy, shape),
    target: levels.prediction === "epsilon" ? Tensor.from(device, noise, [pairs.length, ...shape]) : velocities(),
    masked: stack(
      pairs.map(({ masked }) => masked),
      shape,
    ),
    garment: stack(garments, shape),
    promptEmbeds: stack(
      pairs.map(({ promptEmbeds }) => promptEmbeds),
      promptShape,
    ),
    regions: stack(
      pairs.map(({ region }) => region),
      [...shape.slice(0, -1), 1],
    ),
    timesteps,
    alphas: timesteps.map((t) => levels.signal[t]! ** 2),
    weights:
      snrGamma === undefined ? undefined : timesteps.map((t) => snrWeight(levels.snr[t]!, snrGamma, levels.prediction)),
  };
}
