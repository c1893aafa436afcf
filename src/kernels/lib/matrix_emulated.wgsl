// Subgroup matrices as the kernels use them: loads from `tile` (of type comp) and stores to `parked` (of f32), both in
// workgroup memory. One of three forms of the same functions; this one emulates them, so that the kernels can be run
// and compared with a reference where there are no matrix units. LANES divides KK and NN.
// A lane holds every LANES-th column of each matrix; the left one's come to the others by shuffles.

const K_OWN: u32 = KK / LANES;
const N_OWN: u32 = NN / LANES;

struct Left { v: array<f32, MM * K_OWN> }
struct Right { v: array<f32, KK * N_OWN> }
struct Sum { v: array<f32, MM * N_OWN> }

var<private> own_lane: u32;

fn begin_matrices(lane: u32) {
  own_lane = lane;
}

// Loop bounds of the kernels: the same number, which no compiler can know. Unrolled, these loops take a software adapter
// minutes to compile.
fn times(n: u32) -> u32 {
  return n + (p.groups >> 31u); // there are never so many workgroups
}

fn left_rows(at: u32, stride: u32) -> Left {
  var m: Left;
  for (var i = 0u; i < times(MM * K_OWN); i++) {
    m.v[i] = f32(tile[at + i / K_OWN * stride + i % K_OWN * LANES + own_lane]);
  }
  return m;
}

fn right_rows(at: u32, stride: u32) -> Right { // tile[k][n]
  var m: Right;
  for (var i = 0u; i < times(KK * N_OWN); i++) {
    m.v[i] = f32(tile[at + i / N_OWN * stride + i % N_OWN * LANES + own_lane]);
  }
  return m;
}

fn right_columns(at: u32, stride: u32) -> Right { // tile[n][k]
  var m: Right;
  for (var i = 0u; i < times(KK * N_OWN); i++) {
    m.v[i] = f32(tile[at + i / N_OWN + (i % N_OWN * LANES + own_lane) * stride]);
  }
  return m;
}

fn multiply(a: Left, b: Right, sum: Sum) -> Sum {
  var m = sum;
  for (var row = 0u; row < times(MM); row++) {
    for (var k = 0u; k < times(KK); k++) {
      let v = subgroupShuffle(a.v[row * K_OWN + k / LANES], k % LANES);
      for (var n = 0u; n < N_OWN; n++) { m.v[row * N_OWN + n] += v * b.v[k * N_OWN + n]; }
    }
  }
  return m;
}

fn park(at: u32, stride: u32, sum: Sum) {
  for (var i = 0u; i < times(MM * N_OWN); i++) {
    parked[at + i / N_OWN * stride + i % N_OWN * LANES + own_lane] = sum.v[i];
  }
}

fn unpark(at: u32, stride: u32) -> Sum {
  var m: Sum;
  for (var i = 0u; i < times(MM * N_OWN); i++) {
    m.v[i] = parked[at + i / N_OWN * stride + i % N_OWN * LANES + own_lane];
  }
  return m;
}
