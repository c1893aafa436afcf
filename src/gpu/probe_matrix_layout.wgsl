// Asks a compiler whether it takes the layout of a subgroup matrix as a template argument.

enable chromium_experimental_subgroup_matrix;

var<workgroup> tile: array<f32, 64>;

@compute @workgroup_size(128)
fn main() {
  let m = subgroupMatrixLoad<subgroup_matrix_left<f32, 8, 8>, row_major>(&tile, 0, 8);
}
