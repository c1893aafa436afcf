// Rows of the left operand of a product: tokens as they lie, or, with CONV, the pixels under a convolution's taps
// (implicit im2col: nothing is copied). NHWC, so one tap of one pixel is k4 neighbouring vectors.

struct Place {
  base: u32, // vector where the row, or its image, begins
  y: i32, // the first tap's pixel, counted in the whole image; may lie on padding
  x: i32,
}

const NOWHERE: u32 = 0xffffffffu;

fn place_of(batch: u32, row: u32) -> Place {
  if (!CONV) { return Place(p.x_first + batch * p.x_batch + row * p.k4, 0, 0); }
  let pixel = row % p.out_hw;
  return Place(
    p.x_first + row / p.out_hw * p.x_batch,
    i32((pixel / p.out_w + p.first_out_y) * p.stride_y) - p.pad_y,
    i32(pixel % p.out_w * p.stride_x) - p.pad_x,
  );
}

// Index of the first vector under a tap, or NOWHERE on padding.
fn tap_at(place: Place, tap: u32) -> u32 {
  if (!CONV) { return place.base; }
  let y = place.y + i32(tap / p.kw);
  let x = place.x + i32(tap % p.kw);
  if (y < 0 || y >= i32(p.in_h) || x < 0 || x >= i32(p.in_w)) { return NOWHERE; }
  return place.base + (u32(y - i32(p.first_in_y)) * p.in_w + u32(x)) * p.k4;
}

fn load_x(at: u32, k: u32) -> vec4f {
  let v = vec4f(x[select(at + k, 0u, at == NOWHERE)]);
  return select(v, vec4f(), at == NOWHERE);
}
