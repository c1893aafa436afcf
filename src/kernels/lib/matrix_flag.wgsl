// Subgroup matrices as the kernels use them: loads from `tile` (of type comp) and stores to `parked` (of f32), both in
// workgroup memory. One of three forms of the same functions; this one, for older Dawn, takes the layout as a flag
// (whether columns are stored one after the other).
// A subgroup multiplies MM × KK by KK × NN, sums in f32. Types name columns before rows.

alias Left = subgroup_matrix_left<comp, KK, MM>;
alias Right = subgroup_matrix_right<comp, NN, KK>;
alias Sum = subgroup_matrix_result<f32, NN, MM>;

fn begin_matrices(lane: u32) {}

// Loop bounds of the kernels, constant so that their arrays live in registers.
fn times(n: u32) -> u32 {
  return n;
}

fn left_rows(at: u32, stride: u32) -> Left {
  return subgroupMatrixLoad<Left>(&tile, at, false, stride);
}

fn right_rows(at: u32, stride: u32) -> Right { // tile[k][n]
  return subgroupMatrixLoad<Right>(&tile, at, false, stride);
}

fn right_columns(at: u32, stride: u32) -> Right { // tile[n][k]
  return subgroupMatrixLoad<Right>(&tile, at, true, stride);
}

fn multiply(a: Left, b: Right, sum: Sum) -> Sum {
  return subgroupMatrixMultiplyAccumulate(a, b, sum);
}

fn park(at: u32, stride: u32, sum: Sum) {
  subgroupMatrixStore(&parked, at, sum, false, stride);
}

fn unpark(at: u32, stride: u32) -> Sum {
  return subgroupMatrixLoad<Sum>(&parked, at, false, stride);
}
