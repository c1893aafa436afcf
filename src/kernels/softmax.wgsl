// Softmax over the last dimension of x[rows, length], rows padded to whole vectors. One workgroup owns a row.

//!spec
alias elem = f32; // storage type of x and y; sums are f32
const WG: u32 = 8u;
//!end

struct Params { groups: u32, length: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<elem>>;

const LOWEST: f32 = -0x1.fffffep+127;

// Whether the elements of vector i lie past the row's end.
fn past(i: u32) -> vec4<bool> {
  return vec4u(4u * i) + vec4u(0u, 1u, 2u, 3u) >= vec4u(p.length);
}

// Vector i of the row, what lies past its end as low as can be.
fn load(first: u32, i: u32) -> vec4f {
  return select(vec4f(x[first + i]), vec4f(LOWEST), past(i));
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  if (row >= p.groups) { return; }
  let vectors = (p.length + 3u) / 4u;
  let first = row * vectors;

  var high = vec4f(LOWEST);
  for (var i = lane; i < vectors; i += WG) { high = max(high, load(first, i)); }
  let largest = reduce_max(max(max(high.x, high.y), max(high.z, high.w)), lane);

  var sum = vec4f();
  for (var i = lane; i < vectors; i += WG) { sum += select(exp(load(first, i) - largest), vec4f(), past(i)); }
  let total = reduce_sum(sum.x + sum.y + sum.z + sum.w, lane);

  for (var i = lane; i < vectors; i += WG) { y[first + i] = vec4<elem>(exp(load(first, i) - largest) / total); }
}
