// Attention by one thread to a query of one head: no subgroups, no workgroup memory.

//!spec
alias elem = f32; // storage type of q, k, v and y; sums are f32
const D: u32 = 40u; // channels of a head
const CAUSAL: bool = false;
//!end

@group(0) @binding(3) var<storage, read> v: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<elem>>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = group_index(group, groups);
  let query = tile % p.tiles * 64u + lane;
  let head = tile / p.tiles % p.heads;
  let batch = tile / (p.tiles * p.heads);
  if (query >= p.queries || batch >= p.batches) { return; }
  let row4 = p.heads * D4;
  let q_at = p.q_first + batch * p.q_batch + query * row4 + head * D4;
  let kv_at = p.kv_first + batch * p.kv_batch + head * D4;

  var own: array<vec4f, D4>;
  for (var d = 0u; d < D4; d++) { own[d] = vec4f(q[q_at + d]) * p.scale; }
  var sums: array<vec4f, D4>;
  var largest = LOWEST;
  var total = 0.0;
  var end = p.keys;
  if (CAUSAL) { end = min(end, query + 1u); }
  for (var key = 0u; key < end; key++) {
    let at = kv_at + key * row4;
    var score = 0.0;
    for (var d = 0u; d < D4; d++) { score += dot(own[d], vec4f(k[at + d])); }
    let high = max(largest, score);
    let keep = exp(largest - high);
    let weight = exp(score - high);
    total = total * keep + weight;
    largest = high;
    for (var d = 0u; d < D4; d++) { sums[d] = sums[d] * keep + weight * vec4f(v[at + d]); }
  }
  for (var d = 0u; d < D4; d++) { y[q_at + d] = vec4<elem>(sums[d] / total); }
}
