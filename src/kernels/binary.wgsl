// y = a ∘ b. Three ways to find b: SUFFIX, b's shape is the end of a's (equal shapes too), four elements at a time;
// NUMBER, one number; STRIDED, any broadcasting of both, one element at a time.

//!spec
alias item_t = vec4<f32>; // storage of an item: vec4 or, with STRIDED, a scalar
alias wide_t = vec4<f32>; // the same in f32
const OP: u32 = 0u; // add, sub, mul, div, max, min
const MODE: u32 = 0u; // 0 suffix, 1 number, 2 strided
const SWAP: bool = false; // b ∘ a
const WG: u32 = 64u;
//!end

struct Params {
  groups: u32,
  items: u32,
  first: u32, // item of the whole result at which this dispatch begins
  suffix: u32, // items of b
  number: f32,
  a_first: u32, // STRIDED: item at which each operand begins inside its binding
  b_first: u32,
  y_first: u32,
  size1: u32, // result sizes, the outermost left out
  size2: u32,
  size3: u32,
  size4: u32,
  a0: u32,
  a1: u32,
  a2: u32,
  a3: u32,
  a4: u32,
  b0: u32,
  b1: u32,
  b2: u32,
  b3: u32,
  b4: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<item_t>;
@group(0) @binding(2) var<storage, read> b: array<item_t>;
@group(0) @binding(3) var<storage, read_write> y: array<item_t>;

fn apply(left: wide_t, right: wide_t) -> wide_t {
  switch OP {
    case 0u: { return left + right; }
    case 1u: { return left - right; }
    case 2u: { return left * right; }
    case 3u: { return left / right; }
    // by selection: a NaN on the left stays one
    case 4u: { return select(left, right, left < right); }
    default: { return select(left, right, left > right); }
  }
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * WG + lane;
  if (i >= p.items) { return; }
  var a_at = i;
  var b_at = 0u;
  if (MODE == 0u) { b_at = (p.first + i) % p.suffix; }
  if (MODE == 2u) {
    let i4 = i % p.size4;
    let r3 = i / p.size4;
    let i3 = r3 % p.size3;
    let r2 = r3 / p.size3;
    let i2 = r2 % p.size2;
    let r1 = r2 / p.size2;
    let i1 = r1 % p.size1;
    let i0 = r1 / p.size1;
    a_at = p.a_first + i0 * p.a0 + i1 * p.a1 + i2 * p.a2 + i3 * p.a3 + i4 * p.a4;
    b_at = p.b_first + i0 * p.b0 + i1 * p.b1 + i2 * p.b2 + i3 * p.b3 + i4 * p.b4;
  }
  let left = wide_t(a[a_at]);
  var right = wide_t(p.number);
  if (MODE != 1u) { right = wide_t(b[b_at]); }
  y[p.y_first + i] = item_t(select(apply(left, right), apply(right, left), SWAP));
}
