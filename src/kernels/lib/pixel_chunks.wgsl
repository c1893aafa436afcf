// Parameters of kernels in which a thread owns four channels of a chunk of an image's pixels, and what it owns.

struct Params {
  groups: u32,
  items: u32, // threads with work: chunks of this dispatch · channels4
  channels4: u32,
  pixels: u32, // of one image
  chunk: u32, // pixels of a chunk; the last one of an image has the rest
  chunks: u32, // of one image
  first_chunk: u32, // of this dispatch, counted over all images
  first_pixel: u32, // at which the bindings' first pixel lies, counted over all images
  x_first: u32, // vector at which that pixel begins
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<elem>>;

struct Chunk {
  channel4: u32,
  index: u32, // counted over all images
  image: u32,
  count: u32, // pixels
  first: u32, // vector of its first pixel; the next pixel's is channels4 further
}

fn chunk_of(item: u32) -> Chunk {
  var own: Chunk;
  own.channel4 = item % p.channels4;
  own.index = p.first_chunk + item / p.channels4;
  own.image = own.index / p.chunks;
  let start = (own.index - own.image * p.chunks) * p.chunk;
  own.count = min(p.chunk, p.pixels - start);
  own.first = p.x_first + (own.image * p.pixels + start - p.first_pixel) * p.channels4 + own.channel4;
  return own;
}
