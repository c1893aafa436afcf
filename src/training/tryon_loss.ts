import { concatenation } from "../models/fusion/strategies.ts";
import type { FusionStrategy } from "../models/fusion/strategy.ts";
import type { Fusion } from "../models/unet/fusion.ts";
import type { UNet2DConditionModel } from "../models/unet/unet.ts";
import type { Module } from "../nn/module.ts";
import { cast, concat, mean, mseLoss, mul, sub } from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";

/** What one micro-batch of a joint training reads. */
export interface TryOnBatch {
  /** The person's latents with noise, [n, h, w, c], at `timesteps`. */
  readonly noisy: Tensor;
  /** What the network is to tell, [n, h, w, c]: the noise, or the velocity. */
  readonly target: Tensor;
  /** The masked person's latents, the VAE's unscaled mode, [n, h, w, c]. */
  readonly masked: Tensor;
  /** The garment's latents, the VAE's unscaled mode; zero where outfitting dropout left them out. */
  readonly garment: Tensor;
  /** Where the garment may go: 1 inside, [n, h, w, 1]. For fusions that ask. */
  readonly regions?: Tensor | undefined;
  /** Πα of each of the timesteps. For fusions that ask. */
  readonly alphas?: readonly number[] | undefined;
  /** The conditioning's tokens, [n, t, cross_attention_dim]. */
  readonly promptEmbeds: Tensor;
  /** One training timestep for each of the n. */
  readonly timesteps: readonly number[];
  /** Weight of each sample in the loss; none: 1. */
  readonly weights?: readonly number[] | undefined;
}

export interface TryOnNetworks {
  readonly garmentUnet: UNet2DConditionModel;
  readonly tryOnUnet: UNet2DConditionModel;
}

/** A strategy under training. */
export interface TrainedFusion {
  readonly strategy: FusionStrategy;
  /** What the strategy's `module` made, undefined where it makes nothing. */
  readonly module?: Module | undefined;
  /** The VAE's `scaling_factor`. */
  readonly latentScale?: number;
}

const PLAIN: TrainedFusion = { strategy: concatenation };

/** How a micro-batch's loss is computed. */
export interface TryOnLossOptions {
  /** Default: OOTDiffusion's. */
  readonly fusion?: TrainedFusion | undefined;
  /** Whether the layers of both UNets run again in the backward pass, which takes a third more time and far less memory. */
  readonly checkpointing?: boolean | undefined;
}

/** What both UNets together tell of a batch: its noise, or its velocity, [n, h, w, c] (arXiv 2403.01779, section 3). */
export function predictNoise(networks: TryOnNetworks, batch: TryOnBatch, options: TryOnLossOptions = {}): Tensor {
  const { garmentUnet, tryOnUnet } = networks;
  const { fusion: { strategy, module, latentScale = 1 } = PLAIN, checkpointing = false } = options;
  const { dtype } = tryOnUnet;
  const reads = strategy.reads ?? "tokens";
  const prompt = cast(batch.promptEmbeds, dtype);
  const latents = cast(batch.garment, dtype);
  const tokensOf = () => {
    const [time, text] = [garmentUnet.encodeTime([0]).at(0), garmentUnet.encodeText(prompt)];
    return garmentUnet.features(latents, time, text, { checkpointing });
  };
  const garments = reads === "nothing" ? [] : [{ latents, tokens: reads === "tokens" ? tokensOf() : [] }];
  const fusion: Fusion = strategy.fuse({ unet: tryOnUnet, garments, module: module!, latentScale });
  if (checkpointing) fusion.prepare?.(tryOnUnet.transformerBlocks()); // layers that run again must find it done
  prompt.device.adopt({ dispose: () => fusion.dispose?.() }); // until the backward pass is over
  const { timesteps, alphas = [], regions } = batch;
  fusion.before?.({ timesteps, alphas, regions: regions ? [regions] : [] });
  const input = cast(concat([batch.noisy, batch.masked], 3), dtype);
  const time = tryOnUnet.encodeTime(timesteps).perSample();
  const predicted = tryOnUnet.forward(input, time, tryOnUnet.encodeText(prompt), { fusion, checkpointing });
  return cast(predicted, "f32");
}

/** Mean squared error of what is told, one number; with weights, each sample's own mean counts by its weight. */
export function tryOnLoss(networks: TryOnNetworks, batch: TryOnBatch, options?: TryOnLossOptions): Tensor {
  const predicted = predictNoise(networks, batch, options);
  if (!batch.weights) return mseLoss(predicted, batch.target);
  const difference = sub(predicted, batch.target);
  const each = mean(mul(difference, difference), { dims: [1, 2, 3] });
  return mean(mul(each, Tensor.from(predicted.device, batch.weights, [batch.weights.length])));
}
