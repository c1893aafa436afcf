// y[outer, chunks, inner] = factor · Σ of a chunk of x[outer, middle, inner]'s middle: sums over any run of dimensions,
// in as many passes as it takes. One thread owns one item (four neighbours in the innermost dimension, or one) of one
// chunk and adds it up in order, so the result has the same bits every time.

//!spec
alias src_t = vec4<f32>; // storage of an item of x: vec4 or a scalar
alias dst_t = vec4<f32>; // and of y
alias wide_t = vec4<f32>; // the same in f32
const WG: u32 = 64u;
//!end

struct Params {
  groups: u32,
  items: u32, // threads with work: outer · chunks · inner
  inner: u32, // items of the innermost dimension
  middle: u32,
  chunk: u32, // entries of the middle that one thread adds up; the last chunk has the rest
  chunks: u32,
  x_first: u32, // item at which each operand begins inside its binding
  y_first: u32,
  factor: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<src_t>;
@group(0) @binding(2) var<storage, read_write> y: array<dst_t>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * WG + lane;
  if (i >= p.items) { return; }
  let rest = i / p.inner;
  let start = rest % p.chunks * p.chunk;
  let end = min(start + p.chunk, p.middle);
  var at = p.x_first + (rest / p.chunks * p.middle + start) * p.inner + i % p.inner;
  var sum = wide_t();
  for (var m = start; m < end; m++) {
    sum += wide_t(x[at]);
    at += p.inner;
  }
  y[p.y_first + i] = dst_t(sum * p.factor);
}
