// Attention by one subgroup to a tile of ROWS queries of one head.
// Scores: a lane owns four keys of a block and all rows, as the columns of a product; queries come by shuffles.
// Values: a lane owns every LANES-th column of the head; the weights of a key come by shuffles.

//!spec
alias elem = f32; // storage type of q, k, v and y; sums are f32
const LANES: u32 = 8u; // the device's subgroup size
const PIN: bool = false; // it has others too: this one is asked for
const ROWS: u32 = 8u; // queries of a tile
const D: u32 = 40u; // channels of a head
const CAUSAL: bool = false;
//!end

@group(0) @binding(3) var<storage, read> v: array<elem>;
@group(0) @binding(4) var<storage, read_write> y: array<elem>;

const LOADS: u32 = (ROWS + LANES - 1u) / LANES;
const COLUMNS: u32 = (D + LANES - 1u) / LANES; // columns of the head that a lane owns

var<workgroup> parked: array<f32, ROWS * COLUMNS * LANES>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let tile = group_index(group, groups);
  if (tile >= p.groups) { return; }
  let first_row = tile % p.tiles * ROWS;
  let head = tile / p.tiles % p.heads;
  let batch = tile / (p.tiles * p.heads);
  let row4 = p.heads * D4; // vectors of one token
  let q_base = p.q_first + batch * p.q_batch + head * D4;
  let kv_base = p.kv_first + batch * p.kv_batch + head * D4;

  var q_at: array<u32, LOADS>;
  for (var j = 0u; j < LOADS; j++) { q_at[j] = q_base + min(first_row + j * LANES + lane, p.queries - 1u) * row4; }

  var largest: array<f32, ROWS>;
  var total: array<f32, ROWS>;
  for (var r = 0u; r < ROWS; r++) { largest[r] = LOWEST; }
  var sums: array<array<f32, COLUMNS>, ROWS>;

  var end = p.keys;
  if (CAUSAL) { end = min(end, first_row + ROWS); }
  for (var block = 0u; block < end; block += 4u * LANES) {
    let key = block + 4u * lane;
    var k_at: array<u32, 4>;
    for (var c = 0u; c < 4u; c++) { k_at[c] = kv_base + min(key + c, p.keys - 1u) * row4; }

    var scores: array<vec4f, ROWS>;
    for (var r = 0u; r < ROWS; r++) { scores[r] = vec4f(); } // some drivers zero a loop's variables only once
    for (var d = 0u; d < D4; d++) {
      var a: array<vec4f, LOADS>;
      for (var j = 0u; j < LOADS; j++) { a[j] = vec4f(q[q_at[j] + d]); }
      let b = transpose(mat4x4f(vec4f(k[k_at[0] + d]), vec4f(k[k_at[1] + d]), vec4f(k[k_at[2] + d]), vec4f(k[k_at[3] + d])));
      for (var r = 0u; r < ROWS; r++) {
        let x = subgroupShuffle(a[r / LANES], r % LANES);
        scores[r] += x.x * b[0] + x.y * b[1] + x.z * b[2] + x.w * b[3];
      }
    }

    for (var r = 0u; r < ROWS; r++) {
      let seen = seen4(key + vec4u(0u, 1u, 2u, 3u), vec4u(first_row + r));
      let s = select(vec4f(LOWEST), scores[r] * p.scale, seen);
      let high = max(largest[r], subgroupMax(max(max(s.x, s.y), max(s.z, s.w))));
      let keep = exp(largest[r] - high);
      let weights = select(vec4f(), exp(s - high), seen); // nothing even while the row has seen no key
      total[r] = total[r] * keep + subgroupAdd(weights.x + weights.y + weights.z + weights.w);
      largest[r] = high;
      scores[r] = weights;
      for (var c = 0u; c < COLUMNS; c++) { sums[r][c] *= keep; }
    }

    let last = min(LANES, (end - block + 3u) / 4u);
    for (var owner = 0u; owner < last; owner++) {
      for (var i = 0u; i < 4u; i++) {
        let at = (kv_base + min(block + owner * 4u + i, p.keys - 1u) * row4) * 4u + lane;
        var value: array<f32, COLUMNS>;
        for (var c = 0u; c < COLUMNS; c++) { value[c] = f32(v[at + c * LANES]); }
        for (var r = 0u; r < ROWS; r++) {
          let weight = subgroupShuffle(scores[r][i], owner);
          for (var c = 0u; c < COLUMNS; c++) { sums[r][c] += weight * value[c]; }
        }
      }
    }
  }

  // parked in workgroup memory, so that a loop can finish the rows instead of ROWS copies of its body
  for (var r = 0u; r < ROWS; r++) {
    for (var c = 0u; c < COLUMNS; c++) { parked[(r * COLUMNS + c) * LANES + lane] = sums[r][c] / total[r]; }
  }
  let rows = min(ROWS, p.queries - first_row);
  for (var r = 0u; r < rows; r++) {
    let at = (q_base + (first_row + r) * row4) * 4u + lane;
    for (var c = 0u; c < COLUMNS; c++) {
      if (c * LANES + lane < D) { y[at + c * LANES] = elem(parked[(r * COLUMNS + c) * LANES + lane]); }
    }
  }
}
