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
const LOWEST: f32 = -0x1.fffffep+127; // maxima start here: finite, so that a row without a key yet stays a number

// Which of four keys four queries see: none past the end, and none ahead of a causal query. A score does not tell, since
// any number may be one.
fn seen4(key: vec4u, query: vec4u) -> vec4<bool> {
  if (CAUSAL) { return key < min(vec4u(p.keys), query + 1u); }
  return key < vec4u(p.keys);
}
