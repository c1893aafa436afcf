// Sum of outer products with nothing but loads: one thread owns four rows of four columns, 64 threads 64 columns of 16.

//!spec
alias elem = f32; // storage type of g and x; sums are f32
const CONV: bool = false;
//!end

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = group_index(group, groups);
  if (tile >= p.groups) { return; }
  let job = job_of(tile, 4u);
  let column4 = job.i * 16u + lane % 16u;
  let o = job.o + lane / 16u;
  if (column4 >= p.k4 || o >= p.o4) { return; }

  var sums: array<vec4f, 4>;
  for (var row = row_of(job.start); row.index < job.end; row = advance(row, 1u)) {
    let at = seen_at(row, job);
    if (at == NOWHERE) { continue; }
    let v = vec4f(g[p.g_first + job.batch * p.g_batch + row.index * p.o4 + o]);
    let b = vec4f(x[at + column4]);
    sums[0] += v.x * b;
    sums[1] += v.y * b;
    sums[2] += v.z * b;
    sums[3] += v.w * b;
  }
  for (var r = 0u; r < 4u; r++) {
    if (4u * o + r < p.outputs) { y[job.y + (4u * o + r) * p.k4 + column4] = sums[r]; }
  }
}
