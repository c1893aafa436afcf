// One step of AdamW (Loshchilov and Hutter 2019, algorithm 2) on one parameter, in place. Every thread owns a vector of
// four elements and rounds in PyTorch's order, so that a step can be compared with torch.optim.AdamW to the last bits.

//!spec
const WG: u32 = 64u;
//!end

struct Params {
  groups: u32,
  vectors: u32,
  gradient_scale: f32, // 1 / loss scale · clipping
  decay: f32, // 1 − lr · weight decay
  beta1_rest: f32, // 1 − β₁
  beta2: f32,
  beta2_rest: f32, // 1 − β₂
  step_size: f32, // lr / (1 − β₁ᵗ)
  root_correction: f32, // √(1 − β₂ᵗ)
  eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> parameter: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> mean: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> square: array<vec4f>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * WG + lane;
  if (i >= p.vectors) { return; }
  let g = gradient[i] * p.gradient_scale;
  let m = mean[i] + p.beta1_rest * (g - mean[i]);
  let v = square[i] * p.beta2 + p.beta2_rest * g * g;
  let updated = parameter[i] * p.decay - p.step_size * (m / (sqrt(v) / p.root_correction + p.eps));
  mean[i] = m;
  square[i] = v;
  parameter[i] = updated;
}
