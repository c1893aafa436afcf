// Bindings and parameters that every form of the product shares: y[b, m, n] = epilogue(Σ x[b, m, tap, k] · w[b, tap, k, n]).
// Sizes along k and n are in vectors of four.

struct Params {
  groups: u32,
  m: u32, // rows of one batch
  n4: u32,
  k4: u32,
  tiles_m: u32,
  tiles_n: u32,
  x_first: u32, // vector where the operand begins inside its binding
  y_first: u32,
  x_batch: u32, // vectors from one batch (of a convolution: one image) to the next; 0 shares it
  w_batch: u32,
  y_batch: u32,
  first_shift: u32, // row of `shift` that the first rows use
  rows_per_shift: u32, // rows of y that share one row of `shift`
  taps: u32, // kernel positions of a convolution, else 1
  kw: u32,
  in_h: u32,
  in_w: u32,
  first_in_y: i32, // image row at which x's binding begins
  out_w: u32,
  out_hw: u32,
  first_out_y: u32,
  stride_y: u32,
  stride_x: u32,
  pad_y: i32, // below zero where the gradient of a wide padding reads inward
  pad_x: i32,
  splits: u32, // parts along k, each stored by itself; 1 stores results
  split_steps: u32, // steps along taps and k of one part
  y_split: u32, // vectors from one part of y to the next
  extras: u32, // lib/epilogue.wgsl
  activation: u32, // lib/activation.wgsl
  gated: u32, // not 0: y is the first half of the columns · gelu(second half), each with its bias, and nothing else
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> w: array<vec4<elem>>; // [tap][k][n], or [n][k] with W_ROWS
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read> shift: array<vec4<elem>>;
@group(0) @binding(5) var<storage, read> residual: array<vec4<elem>>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4<stored>>;

// A tile of a gated product holds both halves of its columns in turns of `turn` vectors: values, gates, values, …
struct Column {
  of_y: u32, // column of y, with gates that of the value
  of_w: u32, // where w has it; columns past the edge repeat the last
  is_inside: bool,
}

fn column_at(column4: u32, turn: u32) -> Column {
  if (p.gated == 0u) { return Column(column4, min(column4, p.n4 - 1u), column4 < p.n4); }
  let half = p.n4 / 2u;
  let of_y = column4 / (2u * turn) * turn + column4 % turn;
  return Column(of_y, min(of_y, half - 1u) + column4 / turn % 2u * half, of_y < half);
}

// Four neighbouring rows of w (along k), four columns each.
fn load_w(batch_at: u32, tap: u32, k: u32, column4: u32) -> mat4x4f {
  if (W_ROWS) {
    let i = batch_at + column4 * 4u * p.k4 + k;
    return transpose(mat4x4f(vec4f(w[i]), vec4f(w[i + p.k4]), vec4f(w[i + 2u * p.k4]), vec4f(w[i + 3u * p.k4])));
  }
  let i = batch_at + (tap * p.k4 + k) * 4u * p.n4 + column4;
  return mat4x4f(vec4f(w[i]), vec4f(w[i + p.n4]), vec4f(w[i + 2u * p.n4]), vec4f(w[i + 3u * p.n4]));
}

// The share of a sum that one workgroup computes: steps [first, end) of a batch's product.
struct Part {
  batch: u32,
  split: u32,
  first: u32,
  end: u32,
}

fn part_of(index: u32, steps: u32) -> Part {
  let split = index % p.splits;
  let first = split * p.split_steps;
  return Part(index / p.splits, split, first, min(first + p.split_steps, steps));
}

fn store(part: Part, row: u32, column4: u32, sum: vec4f) {
  let i = p.y_first + part.split * p.y_split + part.batch * p.y_batch + row * p.n4 + column4;
  y[i] = vec4<stored>(epilogue(sum, part.batch, row, column4, i));
}

fn store_gated(part: Part, row: u32, column4: u32, value: vec4f, gate: vec4f) {
  let half = p.n4 / 2u;
  y[p.y_first + part.batch * p.y_batch + row * half + column4] = vec4<stored>(gated(value, gate, column4, half));
}
