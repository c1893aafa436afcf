// dst[Σ i·dst_stride] = src[Σ i·src_stride] over up to five dimensions: permutations, parts, joins, repeats, casts.
// One thread moves RUN items that follow each other in the last dimension but one: dividing its number into indices is
// what costs on software adapters. An item is four elements that lie side by side on both sides, or a single one.

//!spec
alias src_t = f32; // an item: a scalar, or vec4 of one; strides and offsets count items
alias dst_t = f32;
const ZERO: bool = false; // write zeros; src is not read
const OUTER: u32 = 3u; // dimensions before the last two
const RUN: u32 = 16u;
const WG: u32 = 64u;
//!end

struct Params {
  groups: u32,
  items: u32, // threads with work
  runs: u32, // runs in the last dimension but one
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
  var rest = item / p.size4;
  var read_at = p.src_first + i4 * p.src4;
  var write_at = p.dst_first + i4 * p.dst4;
  var start = rest * RUN;
  if (OUTER > 0u) {
    start = rest % p.runs * RUN;
    rest /= p.runs;
    let i2 = select(rest, rest % p.size2, OUTER > 1u);
    read_at += i2 * p.src2;
    write_at += i2 * p.dst2;
  }
  if (OUTER > 1u) {
    rest /= p.size2;
    let i1 = select(rest, rest % p.size1, OUTER > 2u);
    read_at += i1 * p.src1;
    write_at += i1 * p.dst1;
  }
  if (OUTER > 2u) {
    rest /= p.size1;
    read_at += rest * p.src0;
    write_at += rest * p.dst0;
  }
  read_at += start * p.src3;
  write_at += start * p.dst3;
  for (var i = start; i < min(start + RUN, p.size3); i++) {
    if (ZERO) { dst[write_at] = dst_t(); } else { dst[write_at] = dst_t(src[read_at]); }
    read_at += p.src3;
    write_at += p.dst3;
  }
}
