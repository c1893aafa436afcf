// Bindings and parameters of every form of the sum of outer products y[batch, tap, o, i] = Σ g[row, o] · x[row at tap, i]
// over rows: the gradient of a weight. With CONV the rows are output pixels, and x's are the pixels under a tap. A long sum is split, and each split has a y of its own, which a later sum joins: the order
// of additions never depends on timing. Sizes along o (but `outputs`) and i are in vectors of four.

struct Params {
  groups: u32,
  rows: u32, // of one batch in this dispatch
  outputs: u32, // rows of y that exist
  o4: u32, // vectors of a row of g
  k4: u32, // vectors of a row of x
  tiles_o: u32,
  tiles_i: u32,
  batches: u32,
  split_rows: u32,
  g_first: u32, // vector where the operand begins inside its binding
  x_first: u32,
  y_first: u32,
  g_batch: u32, // vectors from one batch (of a convolution's x: one image) to the next
  x_batch: u32,
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
  pad_y: i32,
  pad_x: i32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> g: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;

// What one workgroup owns: a tile of one tap's [o, i], over the rows of one split of one batch.
struct Job {
  o: u32, // first tile row, in vectors
  i: u32, // number of the tile along i
  tap: u32,
  batch: u32,
  start: u32, // rows
  end: u32,
  y: u32, // vector where the tap's [o, i] begins in y
}

fn job_of(tile: u32, tile_o4: u32) -> Job {
  var rest = tile / p.tiles_o;
  let i = rest % p.tiles_i;
  rest /= p.tiles_i;
  let tap = rest % p.taps;
  rest /= p.taps;
  let start = rest / p.batches * p.split_rows;
  let at = p.y_first + (rest * p.taps + tap) * p.outputs * p.k4;
  return Job(tile % p.tiles_o * tile_o4, i, tap, rest % p.batches, start, min(start + p.split_rows, p.rows), at);
}

const NOWHERE: u32 = 0xffffffffu;

// Where a row of the sum lies: an output pixel of a convolution.
struct Row {
  index: u32,
  image: u32,
  line: u32,
  column: u32,
}

fn row_of(index: u32) -> Row {
  if (!CONV) { return Row(index, 0u, 0u, 0u); }
  let pixel = index % p.out_hw;
  return Row(index, index / p.out_hw, pixel / p.out_w, pixel % p.out_w);
}

// The row so many further on. Steps are short, and divisions are what costs on software adapters.
fn advance(row: Row, by: u32) -> Row {
  var next = row;
  next.index += by;
  if (CONV) {
    next.column += by;
    while (next.column >= p.out_w) {
      next.column -= p.out_w;
      next.line++;
    }
    let lines = p.out_hw / p.out_w;
    while (next.line >= lines) {
      next.line -= lines;
      next.image++;
    }
  }
  return next;
}

// Index of the first vector of x that a row sees under a tap, or NOWHERE on padding.
fn seen_at(row: Row, job: Job) -> u32 {
  if (!CONV) { return p.x_first + job.batch * p.x_batch + row.index * p.k4; }
  let y = i32((row.line + p.first_out_y) * p.stride_y + job.tap / p.kw) - p.pad_y;
  let x = i32(row.column * p.stride_x + job.tap % p.kw) - p.pad_x;
  if (y < 0 || y >= i32(p.in_h) || x < 0 || x >= i32(p.in_w)) { return NOWHERE; }
  return p.x_first + row.image * p.x_batch + (u32(y - p.first_in_y) * p.in_w + u32(x)) * p.k4;
}
