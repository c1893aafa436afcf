import type { Module } from "../../nn/module.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Fusion } from "../unet/fusion.ts";
import type { GarmentTokens } from "../unet/garment_keys.ts";
import type { UNet2DConditionModel } from "../unet/unet.ts";

/** One garment as a strategy gets it. In the batch of m: with guidance [garment; zeros], in a training one per sample. */
export interface FusedGarment {
  /** The garment UNet's tokens before norm1 at each transformer block, [m, t, c]; empty unless the strategy reads them. */
  readonly tokens: GarmentTokens;
  /** The VAE's mode, unscaled, [m, h, w, c]: what the garment UNet takes. */
  readonly latents: Tensor;
}

/** What a strategy makes its fusion from. */
export interface FusionInputs<M extends Module = Module> {
  /** The network that the garments are fused into. */
  readonly unet: UNet2DConditionModel;
  /** One, or several to be worn at once. Their tensors stay the caller's for as long as the fusion lives. */
  readonly garments: readonly FusedGarment[];
  /** What `module` of the strategy made, with its weights; undefined where it has none. */
  readonly module: M;
  /** By what latents are multiplied where noise is added to them: the VAE's `scaling_factor`. */
  readonly latentScale: number;
}

/**
 * A way for garments into the try-on, as an object: what `--fusion FILE` exports by default, and what
 * `TryOnInputs.fusion` takes. `fuse` makes the fusion that runs; everything else is for strategies with weights of
 * their own.
 */
export interface FusionStrategy<M extends Module = Module> {
  /** In reports and checkpoints. */
  readonly name: string;
  /** What of a garment is asked for. Without `tokens`, the default, the garment UNet does not run. */
  readonly reads?: "tokens" | "latents" | "nothing";
  /** Weights of the strategy's own, without numbers yet: trained with the UNets and saved beside them. */
  module?(unet: UNet2DConditionModel): M;
  /**
   * First numbers for a `module` that was not trained yet, from the try-on UNet's weights for instance. Without it they
   * are PyTorch's: uniform within ±1/√fan_in.
   */
  initialize?(module: M, unet: UNet2DConditionModel): void;
  /** The strategy at work on these garments. */
  fuse(inputs: FusionInputs<M>): Fusion;
}
