// Matrix product and convolution by subgroup matrices.
// GRID_M × GRID_N subgroups own a tile of ROWS × COLUMNS, each RM × RN matrices of it. Per step the workgroup stages KD
// values along k of x's rows and of w in workgroup memory: that is where a convolution's pixels are gathered, where
// edges become zeros, and where the type becomes that of the matrix units. The next step's vectors travel in
// registers while this step's are multiplied.

//!spec
alias elem = f16; // storage type of x, w, shift and residual
alias stored = f16; // type of y: elem, or f32 for the parts of a split product
alias comp = f16; // what the matrix units multiply; they sum in f32
const CONV: bool = false;
const W_ROWS: bool = false;
const LANES: u32 = 32u;
const PIN: bool = false;
const MM: u32 = 16u; // sizes of one matrix product
const NN: u32 = 16u;
const KK: u32 = 16u;
const ROWS: u32 = 128u;
const COLUMNS: u32 = 128u;
const GRID_M: u32 = 2u;
const GRID_N: u32 = 4u;
//!end

const RM: u32 = ROWS / (GRID_M * MM);
const RN: u32 = COLUMNS / (GRID_N * NN);
const THREADS: u32 = GRID_M * GRID_N * LANES;
const KD: u32 = 32u;
const KD4: u32 = KD / 4u;
const X_STRIDE: u32 = KD + 8u; // rows start at multiples of 16 bytes, not all in the same bank
const W_STRIDE: u32 = select(COLUMNS, KD, W_ROWS) + 8u;
const W_AT: u32 = ROWS * X_STRIDE;
const X_LOADS: u32 = ROWS * KD4 / THREADS;
const W_LOADS: u32 = COLUMNS * KD4 / THREADS;

var<workgroup> tile: array<comp, W_AT + select(KD, COLUMNS, W_ROWS) * W_STRIDE>;
var<workgroup> parked: array<f32, GRID_M * GRID_N * MM * NN>;

// Vector `i` of the staged part of w, whose first row along k is 4k4.
fn staged_w(batch_at: u32, tap: u32, k4: u32, first4: u32, i: u32) -> vec4<elem> {
  if (W_ROWS) {
    let k = k4 + i % KD4;
    let column = column_at(first4 + i / KD4 / 4u, 1u).of_w * 4u + i / KD4 % 4u;
    return select(vec4<elem>(), w[batch_at + column * p.k4 + min(k, p.k4 - 1u)], k < p.k4);
  }
  let k = k4 * 4u + i / (COLUMNS / 4u);
  let column4 = column_at(first4 + i % (COLUMNS / 4u), 1u).of_w;
  return select(vec4<elem>(), w[batch_at + (tap * p.k4 * 4u + min(k, p.k4 * 4u - 1u)) * p.n4 + column4], k < p.k4 * 4u);
}

fn stage(at: u32, v: vec4<elem>) {
  tile[at] = comp(v.x);
  tile[at + 1u] = comp(v.y);
  tile[at + 2u] = comp(v.z);
  tile[at + 3u] = comp(v.w);
}

fn parked_at(i: u32) -> vec4f {
  return vec4f(parked[i * 4u], parked[i * 4u + 1u], parked[i * 4u + 2u], parked[i * 4u + 3u]);
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
  let first_row = index % p.tiles_m * ROWS;
  let first4 = index / p.tiles_m % p.tiles_n * (COLUMNS / 4u);
  let steps = (p.k4 + KD4 - 1u) / KD4; // of one tap
  let part = part_of(index / (p.tiles_m * p.tiles_n), p.taps * steps);
  let w_at = part.batch * p.w_batch;

  var places: array<Place, X_LOADS>;
  for (var j = 0u; j < times(X_LOADS); j++) {
    places[j] = place_of(part.batch, min(first_row + (thread + j * THREADS) / KD4, p.m - 1u));
  }
  let own_k = thread % KD4; // THREADS is a multiple of KD4: the same for every j

  var sums: array<array<Sum, RN>, RM>;
  var next_x: array<vec4<elem>, X_LOADS>;
  var next_w: array<vec4<elem>, W_LOADS>;
  let first_x = subgroup / GRID_N * RM * MM * X_STRIDE;
  let first_w = W_AT + subgroup % GRID_N * RN * NN * select(1u, W_STRIDE, W_ROWS);
  // one round more than there are steps: each stages what the one before has loaded
  for (var step = part.first; step <= part.end; step++) {
    if (step > part.first) {
      for (var j = 0u; j < times(X_LOADS); j++) {
        stage((thread + j * THREADS) / KD4 * X_STRIDE + own_k * 4u, next_x[j]);
      }
      for (var j = 0u; j < times(W_LOADS); j++) {
        let i = thread + j * THREADS;
        let at = select(i / (COLUMNS / 4u) * W_STRIDE + i % (COLUMNS / 4u) * 4u, i / KD4 * W_STRIDE + i % KD4 * 4u, W_ROWS);
        stage(W_AT + at, next_w[j]);
      }
      workgroupBarrier();
    }
    if (step < part.end) {
      let tap = step / steps;
      let k4 = step % steps * KD4;
      let inside = k4 + own_k < p.k4;
      for (var j = 0u; j < times(X_LOADS); j++) {
        let at = select(NOWHERE, tap_at(places[j], tap), inside);
        next_x[j] = select(x[select(at + k4 + own_k, 0u, at == NOWHERE)], vec4<elem>(), at == NOWHERE);
      }
      for (var j = 0u; j < times(W_LOADS); j++) { next_w[j] = staged_w(w_at, tap, k4, first4, thread + j * THREADS); }
    }
    if (step > part.first) {
      for (var k = 0u; k < times(KD); k += KK) {
        var a: array<Left, RM>;
        for (var r = 0u; r < times(RM); r++) { a[r] = left_rows(first_x + r * MM * X_STRIDE + k, X_STRIDE); }
        for (var c = 0u; c < times(RN); c++) {
          var b: Right;
          if (W_ROWS) {
            b = right_columns(first_w + c * NN * W_STRIDE + k, W_STRIDE);
          } else {
            b = right_rows(first_w + c * NN + k * W_STRIDE, W_STRIDE);
          }
          for (var r = 0u; r < times(RM); r++) { sums[r][c] = multiply(a[r], b, sums[r][c]); }
        }
      }
      workgroupBarrier();
    }
  }

  for (var r = 0u; r < times(RM); r++) {
    for (var c = 0u; c < times(RN); c++) {
      park(subgroup * MM * NN, NN, sums[r][c]);
      workgroupBarrier();
      for (var i = thread; i < GRID_M * GRID_N * MM * NN / 4u; i += THREADS) {
        let owner = i / (MM * NN / 4u);
        let row = first_row + (owner / GRID_N * RM + r) * MM + i / (NN / 4u) % MM;
        let column4 = first4 + (owner % GRID_N * RN + c) * (NN / 4u) + i % (NN / 4u);
        let column = column_at(column4, 1u);
        if (row < p.m && column.is_inside) {
          if (p.gated == 0u) { store(part, row, column4, parked_at(i)); }
          if (p.gated != 0u && i % 2u == 0u) { store_gated(part, row, column.of_y, parked_at(i), parked_at(i + 1u)); }
        }
      }
      workgroupBarrier();
    }
  }
}
