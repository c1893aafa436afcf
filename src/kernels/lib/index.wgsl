// Index of a workgroup when any number of them is folded into two dimensions.
fn group_index(group: vec3u, groups: vec3u) -> u32 {
  return group.x + group.y * groups.x;
}
