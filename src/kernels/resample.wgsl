// Resizing and pooling of x[n, h, w, c]: one thread owns one item (four channels, or one) of RUN neighbouring output
// pixels of a row, since dividing its number into indices costs as much as a pixel on software adapters.

//!spec
alias item_t = vec4<f32>; // storage of an item: vec4 or a scalar
alias wide_t = vec4<f32>; // the same in f32
const MODE: u32 = 0u; // 0 nearest, 1 bilinear, 2 maximum, 3 average
const ALIGN_CORNERS: bool = false;
const RUN: u32 = 8u;
const WG: u32 = 64u;
//!end

struct Params {
  groups: u32,
  items: u32, // threads with work
  row: u32, // items of a pixel
  runs: u32, // of an output row
  in_h: u32,
  in_w: u32,
  out_h: u32, // rows of one image in this dispatch
  out_w: u32,
  x_first: u32, // item at which the first image, or the band's first row, begins
  y_first: u32,
  x_image: u32, // items from one image to the next
  first_in_y: u32, // image row at which x_first lies
  first_out_y: u32,
  scale_y: f32, // resizing: input pixels to one output pixel
  scale_x: f32,
  kernel_y: u32, // pooling
  kernel_x: u32,
  stride_y: u32,
  stride_x: u32,
  pad_y: u32,
  pad_x: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<item_t>;
@group(0) @binding(2) var<storage, read_write> y: array<item_t>;

fn pixel(image: u32, row: u32, column: u32, c: u32) -> wide_t {
  return wide_t(x[p.x_first + image * p.x_image + ((row - p.first_in_y) * p.in_w + column) * p.row + c]);
}

fn source(out: u32, scale: f32) -> f32 {
  if (ALIGN_CORNERS) { return f32(out) * scale; }
  return max((f32(out) + 0.5) * scale - 0.5, 0.0);
}

fn bilinear(image: u32, oy: u32, ox: u32, c: u32) -> wide_t {
  let sy = source(oy, p.scale_y);
  let sx = source(ox, p.scale_x);
  let y0 = min(u32(sy), p.in_h - 1u);
  let x0 = min(u32(sx), p.in_w - 1u);
  let y1 = min(y0 + 1u, p.in_h - 1u);
  let x1 = min(x0 + 1u, p.in_w - 1u);
  let fy = sy - f32(y0);
  let fx = sx - f32(x0);
  let top = pixel(image, y0, x0, c) * (1.0 - fx) + pixel(image, y0, x1, c) * fx;
  let bottom = pixel(image, y1, x0, c) * (1.0 - fx) + pixel(image, y1, x1, c) * fx;
  return top * (1.0 - fy) + bottom * fy;
}

fn pool(image: u32, oy: u32, ox: u32, c: u32) -> wide_t {
  var result = wide_t(select(0.0, -3.4e38, MODE == 2u));
  for (var ky = 0u; ky < p.kernel_y; ky++) {
    for (var kx = 0u; kx < p.kernel_x; kx++) {
      let iy = oy * p.stride_y + ky - p.pad_y; // above or left of the image this wraps to something huge
      let ix = ox * p.stride_x + kx - p.pad_x;
      if (iy < p.in_h && ix < p.in_w) {
        let v = pixel(image, iy, ix, c);
        // a NaN wins, whenever it comes
        if (MODE == 2u) { result = select(result, v, (v > result) | !(v == v)); } else { result += v; }
      }
    }
  }
  if (MODE == 3u) { result /= f32(p.kernel_y * p.kernel_x); }
  return result;
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * WG + lane;
  if (i >= p.items) { return; }
  let run = i / p.row;
  let c = i - run * p.row;
  let line = run / p.runs; // output row, counted over the images of this dispatch
  let start = (run - line * p.runs) * RUN;
  let image = line / p.out_h;
  let oy = line - image * p.out_h + p.first_out_y;
  let row = min(u32(f32(oy) * p.scale_y), p.in_h - 1u); // nearest
  for (var ox = start; ox < min(start + RUN, p.out_w); ox++) {
    var v: wide_t;
    if (MODE == 0u) {
      v = pixel(image, row, min(u32(f32(ox) * p.scale_x), p.in_w - 1u), c);
    } else if (MODE == 1u) {
      v = bilinear(image, oy, ox, c);
    } else {
      v = pool(image, oy, ox, c);
    }
    y[p.y_first + (line * p.out_w + ox) * p.row + c] = item_t(v);
  }
}
