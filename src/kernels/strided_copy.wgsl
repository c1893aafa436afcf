// dst[Σ i·dst_stride] = src[Σ i·src_stride] over up to five dimensions: permutations, parts, joins, repeats, casts.
// One thread moves one item: four elements that lie side by side on both sides, or a single one.

//!spec
alias src_t = f32; // an item: a scalar, or vec4 of one; strides and offsets count items
alias dst_t = f32;
const ZERO: bool = false; // write zeros; src is not read
const WG: u32 = 64u;
//!end

struct Params {
  groups: u32,
  items: u32,
  src_first: u32,
  dst_first: u32,
  size1: u32, // sizes of all dimensions but the first, outermost first
  size2: u32,
  size3: u32,
  size4: u32,
  src0: u32,
  src1: u32,
  src2: u32,
  src3: u32,
  src4: u32,
  dst0: u32,
  dst1: u32,
  dst2: u32,
  dst3: u32,
  dst4: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> src: array<src_t>;
@group(0) @binding(2) var<storage, read_write> dst: array<dst_t>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = group_index(group, groups) * WG + lane;
  if (item >= p.items) { return; }
  let i4 = item % p.size4;
  let r3 = item / p.size4;
  let i3 = r3 % p.size3;
  let r2 = r3 / p.size3;
  let i2 = r2 % p.size2;
  let r1 = r2 / p.size2;
  let i1 = r1 % p.size1;
  let i0 = r1 / p.size1;
  let to = p.dst_first + i0 * p.dst0 + i1 * p.dst1 + i2 * p.dst2 + i3 * p.dst3 + i4 * p.dst4;
  if (ZERO) {
    dst[to] = dst_t();
  } else {
    dst[to] = dst_t(src[p.src_first + i0 * p.src0 + i1 * p.src1 + i2 * p.src2 + i3 * p.src3 + i4 * p.src4]);
  }
}
