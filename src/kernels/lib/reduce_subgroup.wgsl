// Sums and maxima over a workgroup that is exactly one subgroup.
fn reduce_sum(value: f32, lane: u32) -> f32 {
  return subgroupAdd(value);
}

fn reduce_max(value: f32, lane: u32) -> f32 {
  return subgroupMax(value);
}
