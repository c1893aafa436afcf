// Mean and deviation of a row of x, of p.vectors vectors, by one workgroup.
// A thread sums differences from the first vector that it meets: unlike E[x²]-E[x]² this does not cancel when the mean
// is large against the deviation, and unlike two passes it reads a row once. Parts are joined by Chan's formula.

fn across(v: vec4f) -> f32 {
  return v.x + v.y + v.z + v.w;
}

// (pivot, mean - pivot, 1 / deviation) of the row that begins at a vector.
fn statistics(first: u32, lane: u32) -> vec3f {
  let own = vec4f(x[first + min(lane, p.vectors - 1u)]);
  var sum = vec4f();
  var squares = vec4f();
  for (var i = lane + WG; i < p.vectors; i += WG) {
    let d = vec4f(x[first + i]) - own;
    sum += d;
    squares += d * d;
  }
  let count = f32((p.vectors + WG - 1u - min(lane, p.vectors + WG - 1u)) / WG); // vectors of this thread; may be 0
  let shift = sum / max(count, 1.0);
  squares = max(squares - sum * shift, vec4f());

  let pivot = f32(x[first].x);
  let distance = (own - pivot) + shift;
  let size = f32(p.vectors) * 4.0;
  let mean = reduce_sum(across(distance) * count, lane) / size;
  let d = distance - mean;
  let variance = reduce_sum(select(0.0, across(squares + d * d * count), count > 0.0), lane) / size;
  return vec3f(pivot, mean, inverseSqrt(variance + p.eps));
}
