// Gradients of resizing and pooling in their input: one thread owns one item (four channels, or one) of one input pixel
// and adds up, in order, what it gave to each output pixel that can have read it. Nothing is scattered.

//!spec
alias item_t = vec4<f32>; // storage of an item: vec4 or a scalar
alias wide_t = vec4<f32>; // the same in f32
const MODE: u32 = 0u; // 0 nearest, 1 bilinear, 2 maximum, 3 average
const ALIGN_CORNERS: bool = false;
const WG: u32 = 64u;
//!end

struct Params {
  groups: u32,
  items: u32, // threads with work
  row: u32, // items of a pixel
  in_h: u32,
  in_w: u32,
  out_h: u32,
  out_w: u32,
  band_h: u32, // rows of one image in this dispatch
  first_y: u32, // the first of them
  x_first: u32, // item at which each map, or the band's first row of it, begins inside its binding
  g_first: u32,
  gx_first: u32,
  x_row: u32, // image row at which x_first and g_first lie
  g_row: u32,
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
@group(0) @binding(1) var<storage, read> x: array<item_t>; // read by maxima alone
@group(0) @binding(2) var<storage, read> g: array<item_t>;
@group(0) @binding(3) var<storage, read_write> gx: array<item_t>;

// Output places, first and one past the last, that can have read input place i along one axis.
fn readers(i: u32, in: u32, out: u32, scale: f32, kernel: u32, stride: u32, pad: u32) -> vec2u {
  if (MODE >= 2u) {
    let first = (max(i + pad + 1u, kernel) - kernel + stride - 1u) / stride;
    return vec2u(first, min((i + pad) / stride + 1u, out));
  }
  if (scale <= 0.0) { return vec2u(0u, out); }
  // one more on either side: places are computed in float32; at the edges outputs beyond the input pile up
  let centre = select(0.0, 0.5, MODE == 1u && !ALIGN_CORNERS);
  let reach = select(0.0, 1.0, MODE == 1u);
  let low = floor((f32(i) - reach + centre) / scale - centre) - 1.0;
  let high = ceil((f32(i) + 1.0 + centre) / scale - centre) + 2.0;
  let first = select(u32(max(low, 0.0)), 0u, i == 0u);
  return vec2u(first, select(min(u32(high), out), out, i + 1u == in));
}

// How much of input place i an output place takes, along one axis.
fn share(i: u32, o: u32, in: u32, scale: f32) -> f32 {
  if (MODE == 0u) { return select(0.0, 1.0, min(u32(f32(o) * scale), in - 1u) == i); }
  let s = select(max((f32(o) + 0.5) * scale - 0.5, 0.0), f32(o) * scale, ALIGN_CORNERS);
  let low = min(u32(s), in - 1u);
  let f = s - f32(low);
  return select(0.0, 1.0 - f, low == i) + select(0.0, f, min(low + 1u, in - 1u) == i);
}

fn x_at(image: u32, iy: u32, ix: u32, c: u32) -> wide_t {
  return wide_t(x[p.x_first + ((image * p.in_h + iy - p.x_row) * p.in_w + ix) * p.row + c]);
}

// 1 where x's item at a place is the first largest under the window of an output place, else 0.
fn largest(own: wide_t, place: vec2u, image: u32, out: vec2u, c: u32) -> wide_t {
  var won = wide_t(1.0);
  for (var ky = 0u; ky < p.kernel_y; ky++) {
    for (var kx = 0u; kx < p.kernel_x; kx++) {
      let iy = out.y * p.stride_y + ky - p.pad_y; // above or left of the image this wraps to something huge
      let ix = out.x * p.stride_x + kx - p.pad_x;
      if (iy < p.in_h && ix < p.in_w) {
        let v = x_at(image, iy, ix, c);
        let before = iy < place.y || (iy == place.y && ix < place.x);
        if (before) { won = select(won, wide_t(), v >= own); } else { won = select(won, wide_t(), v > own); }
      }
    }
  }
  return won;
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = group_index(group, groups) * WG + lane;
  if (item >= p.items) { return; }
  let pixel = item / p.row;
  let c = item - pixel * p.row;
  let line = pixel / p.in_w;
  let image = line / p.band_h;
  let place = vec2u(pixel - line * p.in_w, line - image * p.band_h + p.first_y);
  var own = wide_t();
  if (MODE == 2u) { own = x_at(image, place.y, place.x, c); }
  let rows = readers(place.y, p.in_h, p.out_h, p.scale_y, p.kernel_y, p.stride_y, p.pad_y);
  let columns = readers(place.x, p.in_w, p.out_w, p.scale_x, p.kernel_x, p.stride_x, p.pad_x);
  var sum = wide_t();
  for (var oy = rows.x; oy < rows.y; oy++) {
    for (var ox = columns.x; ox < columns.y; ox++) {
      let v = wide_t(g[p.g_first + ((image * p.out_h + oy - p.g_row) * p.out_w + ox) * p.row + c]);
      if (MODE == 2u) {
        sum += v * largest(own, place, image, vec2u(ox, oy), c);
      } else if (MODE == 3u) {
        sum += v;
      } else {
        sum += v * (share(place.y, oy, p.in_h, p.scale_y) * share(place.x, ox, p.in_w, p.scale_x));
      }
    }
  }
  if (MODE == 3u) { sum /= f32(p.kernel_y * p.kernel_x); }
  gx[p.gx_first + item] = item_t(sum);
}
