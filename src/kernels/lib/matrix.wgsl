// Subgroup matrices as the kernels use them: loads from `tile` (of type comp) and stores to `parked` (of f32), both in
// workgroup memory. One of three forms of the same functions; this one takes the layout as a template argument.
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
  return subgroupMatrixLoad<Left, row_major>(&tile, at, stride);
}

fn right_rows(at: u32, stride: u32) -> Right { // tile[k][n]
  return subgroupMatrixLoad<Right, row_major>(&tile, at, stride);
}

fn right_columns(at: u32, stride: u32) -> Right { // tile[n][k]
  return subgroupMatrixLoad<Right, col_major>(&tile, at, stride);
}

fn multiply(a: Left, b: Right, sum: Sum) -> Sum {
  return subgroupMatrixMultiplyAccumulate(a, b, sum);
}

fn park(at: u32, stride: u32, sum: Sum) {
  subgroupMatrixStore<row_major>(&parked, at, sum, stride);
}

fn unpark(at: u32, stride: u32) -> Sum {
  return subgroupMatrixLoad<Sum, row_major>(&parked, at, stride);
}
