// Sum of outer products by one subgroup to a tile of 4·O4 × 4·LANES. A lane loads 4·O4 values of g of its own row and
// hands them to the others by shuffles; each lane owns four columns.

//!spec
alias elem = f32; // storage type of g and x; sums are f32
const LANES: u32 = 8u; // the device's subgroup size
const CONV: bool = false;
const O4: u32 = 4u; // vectors of g that a tile has
//!end

var<workgroup> parked: array<vec4f, 4u * O4 * LANES>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let tile = group_index(group, groups);
  if (tile >= p.groups) { return; }
  let job = job_of(tile, O4);
  let column4 = job.i * LANES + lane;
  let own = min(column4, p.k4 - 1u); // lanes past the edge repeat the last columns and store nothing

  var sums: array<vec4f, 4u * O4>;
  var row = row_of(job.start + lane);
  for (var block = job.start; block < job.end; block += LANES) {
    let at = seen_at(row, job);
    // a row past the end or on padding adds zeros: those of g, times any row of x
    let counts = row.index < job.end && at != NOWHERE;
    let x_at = select(p.x_first, at, counts);
    let g_at = p.g_first + job.batch * p.g_batch + min(row.index, job.end - 1u) * p.o4;
    var a: array<vec4f, O4>;
    for (var j = 0u; j < O4; j++) { a[j] = select(vec4f(), vec4f(g[g_at + min(job.o + j, p.o4 - 1u)]), counts); }
    row = advance(row, LANES);
    for (var r = 0u; r < LANES; r++) {
      let b = vec4f(x[subgroupShuffle(x_at, r) + own]);
      for (var j = 0u; j < O4; j++) {
        let v = subgroupShuffle(a[j], r);
        sums[4u * j] += v.x * b;
        sums[4u * j + 1u] += v.y * b;
        sums[4u * j + 2u] += v.z * b;
        sums[4u * j + 3u] += v.w * b;
      }
    }
  }

  if (column4 >= p.k4) { return; }
  // parked in workgroup memory, so that a loop can store the rows that exist
  for (var r = 0u; r < 4u * O4; r++) { parked[r * LANES + lane] = sums[r]; }
  for (var r = 0u; r < min(4u * O4, p.outputs - 4u * job.o); r++) {
    y[job.y + (4u * job.o + r) * p.k4 + column4] = parked[r * LANES + lane];
  }
}
