/** The path of a module or parameter in a CompVis checkpoint, and diffusers' path of the same. */
export type Pair = readonly [compvis: string, diffusers: string];

/** What of a UNet's build its names depend on. */
export interface UNetStructure {
  /** Resnets of a down block. */
  readonly layers: number;
  /** Which blocks have transformers, one entry a level. */
  readonly down: readonly boolean[];
  readonly up: readonly boolean[];
}

export interface VaeStructure {
  readonly levels: number;
  /** Resnets of an encoder's block. */
  readonly layers: number;
}

export const UNET_PREFIX = "model.diffusion_model.";
export const VAE_PREFIX = "first_stage_model.";
export const TEXT_PREFIX = "cond_stage_model.transformer.";

const RESNET: readonly Pair[] = [
  ["in_layers.0", "norm1"],
  ["in_layers.2", "conv1"],
  ["emb_layers.1", "time_emb_proj"],
  ["out_layers.0", "norm2"],
  ["out_layers.3", "conv2"],
  ["skip_connection", "conv_shortcut"],
];

const VAE_RESNET: readonly Pair[] = [
  ...["norm1", "conv1", "norm2", "conv2"].map((name): Pair => [name, name]),
  ["nin_shortcut", "conv_shortcut"],
];

const VAE_ATTENTION: readonly Pair[] = [
  ["norm", "group_norm"],
  ["q", "to_q"],
  ["k", "to_k"],
  ["v", "to_v"],
  ["proj_out", "to_out.0"],
];

const inside = (compvis: string, diffusers: string, parts: readonly Pair[]): Pair[] =>
  parts.map(([a, b]) => [`${compvis}.${a}`, `${diffusers}.${b}`]);

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/**
 * The UNet's modules. CompVis counts all blocks of a side through: each level has `layers` of them and a downsampler,
 * or `layers` + 1, the last of which holds the upsampler behind its resnet and transformer.
 */
export function unetPairs({ layers, down, up }: UNetStructure): Pair[] {
  const pairs: Pair[] = [
    ["time_embed.0", "time_embedding.linear_1"],
    ["time_embed.2", "time_embedding.linear_2"],
    ["input_blocks.0.0", "conv_in"],
    ...inside("middle_block.0", "mid_block.resnets.0", RESNET),
    ["middle_block.1", "mid_block.attentions.0"],
    ...inside("middle_block.2", "mid_block.resnets.1", RESNET),
    ["out.0", "conv_norm_out"],
    ["out.2", "conv_out"],
  ];
  for (const [level, attention] of down.entries()) {
    const first = 1 + level * (layers + 1);
    for (const layer of upTo(layers)) {
      const block = `input_blocks.${first + layer}`;
      pairs.push(...inside(`${block}.0`, `down_blocks.${level}.resnets.${layer}`, RESNET));
      if (attention) pairs.push([`${block}.1`, `down_blocks.${level}.attentions.${layer}`]);
    }
    if (level < down.length - 1)
      pairs.push([`input_blocks.${first + layers}.0.op`, `down_blocks.${level}.downsamplers.0.conv`]);
  }
  for (const [level, attention] of up.entries()) {
    const first = level * (layers + 1);
    for (const layer of upTo(layers + 1)) {
      const block = `output_blocks.${first + layer}`;
      pairs.push(...inside(`${block}.0`, `up_blocks.${level}.resnets.${layer}`, RESNET));
      if (attention) pairs.push([`${block}.1`, `up_blocks.${level}.attentions.${layer}`]);
    }
    if (level < up.length - 1)
      pairs.push([`output_blocks.${first + layers}.${attention ? 2 : 1}.conv`, `up_blocks.${level}.upsamplers.0.conv`]);
  }
  return pairs;
}

/** The autoencoder's modules. CompVis counts the decoder's levels from the largest picture down. */
export function vaePairs({ levels, layers }: VaeStructure): Pair[] {
  const pairs: Pair[] = ["quant_conv", "post_quant_conv"].map((name): Pair => [name, name]);
  for (const side of ["encoder", "decoder"])
    pairs.push(
      [`${side}.conv_in`, `${side}.conv_in`],
      ...inside(`${side}.mid.block_1`, `${side}.mid_block.resnets.0`, VAE_RESNET),
      ...inside(`${side}.mid.attn_1`, `${side}.mid_block.attentions.0`, VAE_ATTENTION),
      ...inside(`${side}.mid.block_2`, `${side}.mid_block.resnets.1`, VAE_RESNET),
      [`${side}.norm_out`, `${side}.conv_norm_out`],
      [`${side}.conv_out`, `${side}.conv_out`],
    );
  for (const level of upTo(levels)) {
    const [down, up] = [`encoder.down_blocks.${level}`, `decoder.up_blocks.${level}`];
    const mirrored = `decoder.up.${levels - 1 - level}`;
    for (const layer of upTo(layers))
      pairs.push(...inside(`encoder.down.${level}.block.${layer}`, `${down}.resnets.${layer}`, VAE_RESNET));
    for (const layer of upTo(layers + 1))
      pairs.push(...inside(`${mirrored}.block.${layer}`, `${up}.resnets.${layer}`, VAE_RESNET));
    if (level === levels - 1) continue;
    pairs.push([`encoder.down.${level}.downsample.conv`, `${down}.downsamplers.0.conv`]);
    pairs.push([`${mirrored}.upsample.conv`, `${up}.upsamplers.0.conv`]);
  }
  return pairs;
}

/** Renames keys by the longest path in the table that they begin with; undefined for a key that begins with none. */
export function renamer(pairs: readonly Pair[], to: "diffusers" | "compvis"): (key: string) => string | undefined {
  const table = new Map(pairs.map(([a, b]) => (to === "diffusers" ? [a, b] : [b, a])));
  return (key) => {
    for (let at = key.lastIndexOf("."); at > 0; at = key.lastIndexOf(".", at - 1)) {
      const path = table.get(key.slice(0, at));
      if (path !== undefined) return path + key.slice(at);
    }
    return undefined;
  };
}

/** True for the VAE's attention weights by diffusers' names: matrices there, 1x1 convolutions in CompVis' files. */
export const isVaeAttention = (key: string): boolean =>
  /^(encoder|decoder)\.mid_block\.attentions\.0\.to_(q|k|v|out\.0)\.weight$/.test(key);

/** The name of a UNet tensor's moving average, from its whole name: Lightning's EMA takes the dots away. */
export const emaName = (key: string): string => `model_ema.${key.slice("model.".length).replaceAll(".", "")}`;

/**
 * True for what a training run leaves in a CompVis checkpoint beside the networks: noise schedule, loss, averages, and
 * the positions that every text encoder counts itself.
 */
export const isLeftOver = (key: string): boolean =>
  /^(model_ema|first_stage_model\.loss|control_model|embedding_manager)\./.test(key) ||
  /^cond_stage_model\.(transformer\.text_model\.embeddings\.position_ids|logit_scale)$/.test(key) ||
  /^(betas|logvar|lvlb_weights|scale_factor|alphas_cumprod(_prev)?|sqrt_\w+|log_one_minus_\w+|posterior_\w+)$/.test(
    key,
  );

const indexes = (keys: Iterable<string>, pattern: RegExp): number[] =>
  [...keys].flatMap((key) => {
    const found = pattern.exec(key);
    return found ? [Number(found[1])] : [];
  });

/** Finds a UNet's structure from its CompVis names, the prefix taken away. */
export function unetStructure(keys: readonly string[]): UNetStructure {
  const downs = indexes(keys, /^input_blocks\.(\d+)\.0\.op\.weight$/).sort((a, b) => a - b);
  const blocks = Math.max(0, ...indexes(keys, /^input_blocks\.(\d+)\./));
  const layers = (downs[0] ?? blocks + 1) - 1;
  const levels = downs.length + 1;
  const inputs = new Set(indexes(keys, /^input_blocks\.(\d+)\.1\.transformer_blocks\./));
  const outputs = new Set(indexes(keys, /^output_blocks\.(\d+)\.1\.transformer_blocks\./));
  return {
    layers,
    down: upTo(levels).map((level) => inputs.has(1 + level * (layers + 1))),
    up: upTo(levels).map((level) => outputs.has(level * (layers + 1))),
  };
}

/** Finds an autoencoder's structure from its CompVis names, the prefix taken away. */
export function vaeStructure(keys: readonly string[]): VaeStructure {
  const levels = 1 + Math.max(-1, ...indexes(keys, /^encoder\.down\.(\d+)\./));
  const layers = 1 + Math.max(-1, ...indexes(keys, /^encoder\.down\.0\.block\.(\d+)\./));
  return { levels, layers };
}
