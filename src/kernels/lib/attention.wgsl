// Bindings and parameters of every form of attention: y = softmax(scale · q kᵀ) v for each head, streamed over the keys
// with a running maximum and sum, so that the matrix of scores never exists (Milakov and Gimelshein 2018; Dao et al. 2022).
// Tokens lie [batch][token][head][D].

struct Params {
  groups: u32,
  batches: u32,
  heads: u32,
  queries: u32,
  keys: u32,
  tiles: u32, // tiles of queries
  q_first: u32, // vector where each operand begins inside its binding
  kv_first: u32,
  q_batch: u32, // vectors from one batch to the next
  kv_batch: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<elem>>;

const D4: u32 = D / 4u;
const MASKED: f32 = -1e30; // a score that no softmax notices; finite, so that a row of masked scores stays a number

// Scores of four neighbouring keys after scaling, those past the end or ahead of a causal query masked.
fn masked(scores: vec4f, key: u32, query: u32) -> vec4f {
  let index = vec4u(key, key + 1u, key + 2u, key + 3u);
  var end = p.keys;
  if (CAUSAL) { end = min(end, query + 1u); }
  return select(vec4f(MASKED), scores * p.scale, index < vec4u(end));
}
