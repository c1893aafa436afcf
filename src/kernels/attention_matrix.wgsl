// Attention by subgroup matrices. SUBGROUPS subgroups own MM queries each of one head, whose sums stay in matrices.
// Per block of KEYS keys: scores go to workgroup memory, where all threads turn them into weights; the weights, in the
// matrix units' type, multiply the values. Matrices know no operations on rows, so the sums are not rescaled whenever
// a row's maximum grows, but only when it grows by more than SLACK, and then through workgroup memory: weights are
// relative to a maximum that may lag behind, which cancels in the quotient (the delayed rescaling of FlashAttention 4).

//!spec
alias elem = f16; // storage type of q, k, v and y
alias comp = f16; // what the matrix units multiply; they sum in f32
const LANES: u32 = 32u;
const PIN: bool = false;
const MM: u32 = 16u; // sizes of one matrix product
const NN: u32 = 16u;
const KK: u32 = 16u;
const SUBGROUPS: u32 = 4u;
const KEYS: u32 = 32u;
const D: u32 = 40u; // channels of a head
const CAUSAL: bool = false;
//!end

@group(0) @binding(3) var<storage, read> v: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<elem>>;

const THREADS: u32 = SUBGROUPS * LANES;
const ROWS: u32 = SUBGROUPS * MM;
const UNIT: u32 = max(NN, KK);
const DP: u32 = (D + UNIT - 1u) / UNIT * UNIT; // the head's channels, padded with zeros
const DP4: u32 = DP / 4u;
const STRIDE: u32 = DP + 8u; // rows start at multiples of 16 bytes, not all in the same bank
const S_STRIDE: u32 = KEYS + 4u;
const P_STRIDE: u32 = KEYS + 8u;
const V_AT: u32 = KEYS * STRIDE;
const P_AT: u32 = max(ROWS, 2u * KEYS) * STRIDE;
const SHARE: u32 = max(1u, LANES / MM); // threads of one row
const OWN: u32 = ROWS * SHARE / THREADS; // rows of one thread
const N_OUT: u32 = DP / NN;
const SLACK: f32 = 8.0; // e^8 is still a small number of any type

var<workgroup> tile: array<comp, P_AT + ROWS * P_STRIDE>; // queries, then keys and values; behind them weights
var<workgroup> parked: array<f32, ROWS * S_STRIDE>; // scores; sums on their way
var<workgroup> peers: array<f32, ROWS * SHARE>;
var<workgroup> keeps: array<f32, ROWS>;
var<workgroup> grown: array<u32, THREADS>;
var<workgroup> any_grown: u32;

fn stage(at: u32, value: vec4<elem>) {
  tile[at] = comp(value.x);
  tile[at + 1u] = comp(value.y);
  tile[at + 2u] = comp(value.z);
  tile[at + 3u] = comp(value.w);
}

fn sees(row: u32, key: u32) -> bool {
  return key < p.keys && (!CAUSAL || key <= row);
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let index = group_index(group, groups);
  if (index >= p.groups) { return; }
  begin_matrices(lane);
  let first_row = index % p.tiles * ROWS;
  let head = index / p.tiles % p.heads;
  let batch = index / (p.tiles * p.heads);
  let row4 = p.heads * D4; // vectors of one token
  let q_base = p.q_first + batch * p.q_batch + head * D4;
  let kv_base = p.kv_first + batch * p.kv_batch + head * D4;

  for (var i = thread; i < ROWS * DP4; i += THREADS) {
    let at = q_base + min(first_row + i / DP4, p.queries - 1u) * row4;
    stage(i / DP4 * STRIDE + i % DP4 * 4u, select(vec4<elem>(), q[at + min(i % DP4, D4 - 1u)], i % DP4 < D4));
  }
  workgroupBarrier();
  var own_q: array<Left, DP / KK>;
  for (var d = 0u; d < times(DP / KK); d++) { own_q[d] = left_rows(subgroup * MM * STRIDE + d * KK, STRIDE); }
  let own_scores = subgroup * MM * S_STRIDE;

  var largest: array<f32, OWN>;
  var total: array<f32, OWN>; // of the thread's share of each row
  for (var r = 0u; r < times(OWN); r++) { largest[r] = LOWEST; }
  var sums: array<Sum, N_OUT>;
  var end = p.keys;
  if (CAUSAL) { end = min(end, first_row + ROWS); }
  for (var block = 0u; block < end; block += KEYS) {
    workgroupBarrier();
    for (var i = thread; i < KEYS * DP4; i += THREADS) {
      let origin = kv_base + min(block + i / DP4, p.keys - 1u) * row4 + min(i % DP4, D4 - 1u);
      let at = i / DP4 * STRIDE + i % DP4 * 4u;
      stage(at, select(vec4<elem>(), k[origin], i % DP4 < D4));
      stage(V_AT + at, select(vec4<elem>(), v[origin], i % DP4 < D4));
    }
    workgroupBarrier();
    for (var n = 0u; n < times(KEYS / NN); n++) {
      var scores: Sum = Sum();
      for (var d = 0u; d < times(DP / KK); d++) {
        scores = multiply(own_q[d], right_columns(n * NN * STRIDE + d * KK, STRIDE), scores);
      }
      park(own_scores + n * NN, S_STRIDE, scores);
    }
    workgroupBarrier();

    // SHARE neighbouring threads own a row: each reads every SHARE-th score of it
    for (var r = 0u; r < times(OWN); r++) {
      let row = (r * THREADS + thread) / SHARE;
      var high = LOWEST;
      for (var key = thread % SHARE; key < KEYS; key += SHARE) {
        let score = parked[row * S_STRIDE + key] * p.scale;
        if (sees(first_row + row, block + key)) { high = max(high, score); }
      }
      peers[row * SHARE + thread % SHARE] = high;
    }
    workgroupBarrier();
    var grows = 0u;
    for (var r = 0u; r < times(OWN); r++) {
      let row = (r * THREADS + thread) / SHARE;
      var high = largest[r];
      for (var i = 0u; i < times(SHARE); i++) { high = max(high, peers[row * SHARE + i]); }
      var keep = 1.0;
      if (high > largest[r] + SLACK) {
        keep = exp(largest[r] - high);
        largest[r] = high;
        total[r] *= keep;
        grows = 1u;
      }
      if (thread % SHARE == 0u) { keeps[row] = keep; }
      for (var key = thread % SHARE; key < KEYS; key += SHARE) {
        var weight = 0.0;
        if (sees(first_row + row, block + key)) { weight = exp(parked[row * S_STRIDE + key] * p.scale - largest[r]); }
        tile[P_AT + row * P_STRIDE + key] = comp(weight);
        total[r] += f32(comp(weight));
      }
    }
    grown[thread] = grows;
    workgroupBarrier();
    if (thread == 0u) {
      var any = 0u;
      for (var i = 0u; i < THREADS; i++) { any |= grown[i]; }
      any_grown = any;
    }
    if (workgroupUniformLoad(&any_grown) != 0u) {
      for (var c = 0u; c < times(N_OUT); c++) {
        park(own_scores, S_STRIDE, sums[c]);
        workgroupBarrier();
        for (var i = thread; i < ROWS * NN; i += THREADS) { parked[i / NN * S_STRIDE + i % NN] *= keeps[i / NN]; }
        workgroupBarrier();
        sums[c] = unpark(own_scores, S_STRIDE);
        workgroupBarrier();
      }
    }
    for (var n = 0u; n < times(KEYS / KK); n++) {
      let a = left_rows(P_AT + subgroup * MM * P_STRIDE + n * KK, P_STRIDE);
      for (var c = 0u; c < times(N_OUT); c++) {
        sums[c] = multiply(a, right_rows(V_AT + n * KK * STRIDE + c * NN, STRIDE), sums[c]);
      }
    }
  }

  for (var r = 0u; r < times(OWN); r++) { peers[r * THREADS + thread] = total[r]; }
  for (var c = 0u; c < times(N_OUT); c++) {
    workgroupBarrier();
    park(own_scores, S_STRIDE, sums[c]);
    workgroupBarrier();
    for (var i = thread; i < ROWS * NN / 4u; i += THREADS) {
      let row = i / (NN / 4u);
      let column4 = i % (NN / 4u);
      let at = row * S_STRIDE + column4 * 4u;
      var all = 0.0;
      for (var j = 0u; j < times(SHARE); j++) { all += peers[row * SHARE + j]; }
      if (first_row + row < p.queries && c * (NN / 4u) + column4 < D4) {
        let value = vec4f(parked[at], parked[at + 1u], parked[at + 2u], parked[at + 3u]) / all;
        y[q_base + (first_row + row) * row4 + c * (NN / 4u) + column4] = vec4<elem>(value);
      }
    }
  }
}
