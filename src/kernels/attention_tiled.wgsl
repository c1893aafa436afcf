// Attention through workgroup memory, for devices without a fixed subgroup size.
// 8 × 8 threads own 32 queries of one head. Per block of 32 keys a thread computes the scores of four queries and four
// keys, then adds the block's values to four queries' sums over every eighth vector of the head. Each thread keeps the
// maxima of its queries, as its seven neighbours do, and its own share of the weights' total.

//!spec
alias elem = f32; // storage type of q, k, v and y; sums are f32
const D: u32 = 40u; // channels of a head
const CAUSAL: bool = false;
//!end

@group(0) @binding(3) var<storage, read> v: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<elem>>;

const ROWS: u32 = 32u;
const KEYS: u32 = 32u;
const CHUNKS: u32 = (D4 + 9u) / 10u; // of the head, while scores are computed
const DEPTH: u32 = (D4 + CHUNKS - 1u) / CHUNKS;
const STRIDE: u32 = DEPTH | 1u; // odd: neighbouring rows lie in different banks
const V_KEYS: u32 = min(KEYS, 2u * ROWS * STRIDE / D4); // keys whose values are staged together
const COLUMNS: u32 = (D4 + 7u) / 8u; // vectors of the head that a thread owns

var<workgroup> tile: array<vec4f, max(2u * ROWS * STRIDE, D4)>; // queries and keys, then values
var<workgroup> weights: array<array<vec4f, 8>, KEYS>; // [key][four queries]
var<workgroup> peers: array<array<vec4f, 8>, 8>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let index = group_index(group, groups);
  if (index >= p.groups) { return; }
  let first_row = index % p.tiles * ROWS;
  let head = index / p.tiles % p.heads;
  let batch = index / (p.tiles * p.heads);
  let row4 = p.heads * D4; // vectors of one token
  let q_base = p.q_first + batch * p.q_batch + head * D4;
  let kv_base = p.kv_first + batch * p.kv_batch + head * D4;
  let own_m = thread / 8u;
  let own_n = thread % 8u;
  let rows = first_row + own_m * 4u + vec4u(0u, 1u, 2u, 3u);

  var largest = vec4f(LOWEST);
  var total = vec4f();
  var sums: array<array<vec4f, COLUMNS>, 4>;
  var end = p.keys;
  if (CAUSAL) { end = min(end, first_row + ROWS); }
  for (var block = 0u; block < end; block += KEYS) {
    var scores: array<vec4f, 4>; // of key own_n + 8j, for four queries
    for (var j = 0u; j < 4u; j++) { scores[j] = vec4f(); }
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      workgroupBarrier();
      for (var i = thread; i < ROWS * DEPTH; i += 64u) {
        let d = chunk * DEPTH + i % DEPTH;
        let origin = min(d, D4 - 1u);
        let row = q[q_base + min(first_row + i / DEPTH, p.queries - 1u) * row4 + origin];
        let key = k[kv_base + min(block + i / DEPTH, p.keys - 1u) * row4 + origin];
        tile[i / DEPTH * STRIDE + i % DEPTH] = select(vec4f(), vec4f(row), d < D4);
        tile[(ROWS + i / DEPTH) * STRIDE + i % DEPTH] = select(vec4f(), vec4f(key), d < D4);
      }
      workgroupBarrier();
      for (var d = 0u; d < DEPTH; d++) {
        let at = own_m * 4u * STRIDE + d;
        let a = transpose(mat4x4f(tile[at], tile[at + STRIDE], tile[at + 2u * STRIDE], tile[at + 3u * STRIDE]));
        for (var j = 0u; j < 4u; j++) { scores[j] += a * tile[(ROWS + own_n + 8u * j) * STRIDE + d]; }
      }
    }

    var high = vec4f(LOWEST);
    for (var j = 0u; j < 4u; j++) {
      scores[j] = select(vec4f(LOWEST), scores[j] * p.scale, seen4(vec4u(block + own_n + 8u * j), rows));
      high = max(high, scores[j]);
    }
    peers[own_m][own_n] = high;
    workgroupBarrier();
    high = largest;
    for (var i = 0u; i < 8u; i++) { high = max(high, peers[own_m][i]); }
    let keep = exp(largest - high);
    largest = high;
    total *= keep;
    for (var j = 0u; j < 4u; j++) {
      // nothing even while the row has seen no key
      let weight = select(vec4f(), exp(scores[j] - high), seen4(vec4u(block + own_n + 8u * j), rows));
      total += weight;
      weights[own_n + 8u * j][own_m] = weight;
    }
    for (var c = 0u; c < COLUMNS; c++) {
      sums[0][c] *= keep.x;
      sums[1][c] *= keep.y;
      sums[2][c] *= keep.z;
      sums[3][c] *= keep.w;
    }

    for (var first = 0u; first < KEYS; first += V_KEYS) {
      workgroupBarrier();
      for (var i = thread; i < V_KEYS * D4; i += 64u) {
        tile[i] = vec4f(v[kv_base + min(block + first + i / D4, p.keys - 1u) * row4 + i % D4]);
      }
      workgroupBarrier();
      let last = min(V_KEYS, KEYS - first);
      for (var key = 0u; key < last; key++) {
        let weight = weights[first + key][own_m];
        for (var c = 0u; c < COLUMNS; c++) {
          let value = tile[key * D4 + min(own_n + 8u * c, D4 - 1u)];
          sums[0][c] += weight.x * value;
          sums[1][c] += weight.y * value;
          sums[2][c] += weight.z * value;
          sums[3][c] += weight.w * value;
        }
      }
    }
  }

  peers[own_m][own_n] = total;
  workgroupBarrier();
  var all = vec4f();
  for (var i = 0u; i < 8u; i++) { all += peers[own_m][i]; }
  for (var r = 0u; r < 4u; r++) {
    for (var c = 0u; c < COLUMNS; c++) {
      let column = own_n + 8u * c;
      if (rows[r] < p.queries && column < D4) { y[q_base + rows[r] * row4 + column] = vec4<elem>(sums[r][c] / all[r]); }
    }
  }
}
