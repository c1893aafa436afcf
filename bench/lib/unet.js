// One step of Stable Diffusion 1.5's UNet with the garment fusion (Rombach et al. 2022; Xu et al. 2024), described once over an
// abstract set of operators, so that it can be counted, and written as an ONNX graph. Images carry { n, h, w, c }, tokens
// { n, t, c }; `constant` marks what does not change between steps.

const tokensOf = (x) => ({ ...x, t: x.h * x.w });

class Walk {
  /**
   * @param o the operators
   * @param config block_out_channels, layers_per_block, attention_head_dim, cross_attention_dim: diffusers' names
   * @param reference as the published code computes: queries of both pictures, and nothing kept between steps
   */
  constructor(o, config, { reference, textTokens }) {
    Object.assign(this, { o, config, reference, textTokens, block: 0 });
  }

  resnet(x, name, out) {
    const { o } = this;
    const first = o.groupNorm(x, `${name}.norm1`, 1e-5, true);
    const shift = o.linear(this.temb, `${name}.time_emb_proj`, out);
    const second = o.shift(o.conv(first, `${name}.conv1`, out), shift);
    const y = o.conv(o.groupNorm(second, `${name}.norm2`, 1e-5, true), `${name}.conv2`, out);
    return o.add(y, x.c === out ? x : o.conv(x, `${name}.conv_shortcut`, out, { kernel: 1 }));
  }

  attend(name, queries, keys, more) {
    const { o } = this;
    const project = (part, x) => o.linear(x, `${name}.to_${part}`, queries.c, { bias: false });
    const both = (part) => (more ? o.concat([project(part, keys), project(part, more)], 1) : project(part, keys));
    const heads = this.config.attention_head_dim;
    return o.linear(o.attention(project("q", queries), both("k"), both("v"), heads), `${name}.to_out.0`, queries.c);
  }

  /** Self-attention over the block's own tokens and the garment's. */
  fused(x, name) {
    const { o } = this;
    const norm = (t) => o.layerNorm(t, `${name}.norm1`);
    const garment = o.constant(`garment.${this.block++}`, { n: x.n, t: x.t, c: x.c });
    if (!this.reference) return this.attend(`${name}.attn1`, norm(x), norm(x), norm(garment));
    const both = norm(o.concat([x, garment], 1));
    return o.head(this.attend(`${name}.attn1`, both, both), x.t);
  }

  transformer(image, name) {
    const { o, config } = this;
    const inside = `${name}.transformer_blocks.0`;
    let x = o.flatten(
      o.conv(o.groupNorm(image, `${name}.norm`, 1e-6, false), `${name}.proj_in`, image.c, { kernel: 1 }),
    );
    x = o.add(this.fused(x, inside), x);
    const text = o.constant("text", { n: x.n, t: this.textTokens, c: config.cross_attention_dim });
    x = o.add(this.attend(`${inside}.attn2`, o.layerNorm(x, `${inside}.norm2`), text), x);
    const wide = o.linear(o.layerNorm(x, `${inside}.norm3`), `${inside}.ff.net.0.proj`, 8 * x.c);
    x = o.add(o.linear(o.geglu(wide), `${inside}.ff.net.2`, x.c), x);
    return o.add(o.conv(o.unflatten(x, image), `${name}.proj_out`, image.c, { kernel: 1 }), image);
  }

  step(sample) {
    const { o, config } = this;
    const channels = config.block_out_channels;
    const last = channels.length - 1;
    const waves = o.constant("time", { n: 1, t: 1, c: channels[0] });
    const hidden = o.silu(o.linear(waves, "time_embedding.linear_1", 4 * channels[0]));
    this.temb = o.silu(o.linear(hidden, "time_embedding.linear_2", 4 * channels[0]));
    const states = [o.conv(sample, "conv_in", channels[0])];
    for (const [level, c] of channels.entries()) {
      const name = `down_blocks.${level}`;
      for (let i = 0; i < config.layers_per_block; i++) {
        const x = this.resnet(states.at(-1), `${name}.resnets.${i}`, c);
        states.push(level < last ? this.transformer(x, `${name}.attentions.${i}`) : x);
      }
      if (level < last) states.push(o.conv(states.at(-1), `${name}.downsamplers.0.conv`, c, { stride: 2 }));
    }
    let x = this.resnet(states.at(-1), "mid_block.resnets.0", channels[last]);
    x = this.resnet(this.transformer(x, "mid_block.attentions.0"), "mid_block.resnets.1", channels[last]);
    for (const [i, c] of channels.toReversed().entries()) {
      const name = `up_blocks.${i}`;
      for (let j = 0; j <= config.layers_per_block; j++) {
        x = this.resnet(o.concat([x, states.pop()], -1), `${name}.resnets.${j}`, c);
        if (i > 0) x = this.transformer(x, `${name}.attentions.${j}`);
      }
      if (i < last) x = o.conv(o.upsample(x, states.at(-1)), `${name}.upsamplers.0.conv`, c);
    }
    return o.conv(o.groupNorm(x, "conv_norm_out", 1e-5, true), "conv_out", config.out_channels ?? 4);
  }
}

/** Runs the description over the operators `o`. `sample`: { n, h, w, c } with whatever `o` adds. */
export function describeStep(o, config, sample, { reference = false, textTokens = 2 } = {}) {
  return new Walk(o, config, { reference, textTokens }).step(sample);
}

/** Multiplications and additions of one step, by kind. What is constant between steps counts in the reference only. */
export function countStep(config, { n, h, w }, { reference = false, textTokens = 2 } = {}) {
  const counts = { conv: 0, linear: 0, attention: 0 };
  const add = (kind, flops, ...inputs) => {
    if (reference || !inputs.every((x) => x.constant)) counts[kind] += flops;
  };
  const same = (x) => x;
  const o = {
    groupNorm: same,
    layerNorm: same,
    silu: same,
    shift: same,
    add: same,
    constant: (_, shape) => ({ ...shape, constant: true }),
    conv(x, _, out, { kernel = 3, stride = 1 } = {}) {
      const y = { n: x.n, h: Math.ceil(x.h / stride), w: Math.ceil(x.w / stride), c: out };
      add("conv", 2 * y.n * y.h * y.w * out * x.c * kernel ** 2, x);
      return y;
    },
    linear(x, _, out) {
      add("linear", 2 * x.n * x.t * x.c * out, x);
      return { ...x, c: out };
    },
    attention(q, k, v) {
      add("attention", 4 * q.n * q.t * k.t * q.c, q, k, v);
      return q;
    },
    geglu: (x) => ({ ...x, c: x.c / 2 }),
    concat: ([a, b], dim) => (dim === 1 ? { ...a, t: a.t + b.t } : { ...a, c: a.c + b.c }),
    head: (x, t) => ({ ...x, t }),
    flatten: tokensOf,
    unflatten: (_, image) => image,
    upsample: (x, { h: height, w: width }) => ({ ...x, h: height, w: width }),
  };
  describeStep(o, config, { n, h, w, c: config.in_channels ?? 8 }, { reference, textTokens });
  return { ...counts, total: counts.conv + counts.linear + counts.attention };
}
