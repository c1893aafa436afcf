// Adds the parts of a split product, in the order of k, so that a result is the same every time, and finishes it.
// One thread owns one row of four columns.

//!spec
alias elem = f32; // storage type of shift, residual and y; parts are f32
//!end

struct Params {
  groups: u32,
  rows: u32, // of all batches
  m: u32, // of one batch
  n4: u32,
  splits: u32,
  y_first: u32,
  y_batch: u32,
  first_shift: u32,
  rows_per_shift: u32,
  extras: u32, // lib/epilogue.wgsl
  activation: u32,
  gated: u32, // lib/gemm.wgsl
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec4f>; // [splits][rows][n4]
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read> shift: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read> residual: array<vec4<elem>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<elem>>;

fn added(at: u32) -> vec4f {
  var sum = vec4f();
  for (var split = 0u; split < p.splits; split++) { sum += parts[split * p.rows * p.n4 + at]; }
  return sum;
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = group_index(group, groups) * 64u + thread;
  let width = select(p.n4, p.n4 / 2u, p.gated != 0u);
  if (i >= p.rows * width) { return; }
  let row = i / width;
  let column4 = i % width;
  let sum = added(row * p.n4 + column4);
  let at = p.y_first + row / p.m * p.y_batch + row % p.m * width + column4;
  if (p.gated == 0u) {
    y[at] = vec4<elem>(epilogue(sum, row / p.m, row % p.m, column4, at));
  } else {
    y[at] = vec4<elem>(gated(sum, added(row * p.n4 + width + column4), column4, width));
  }
}
