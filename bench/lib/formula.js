// Weights and inputs by formula, so that real-size networks need no download: a hash of the element's index and of its
// tensor's name, scaled to keep variances: u from a 32-bit mix of index and hash, then the scale below.

/** 32-bit FNV-1a of a string. */
export function fnv1a(text) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** Fills with offset + 2·scale·u, u uniform in [-0.5, 0.5). */
export function fill(values, seed, scale, offset = 0) {
  for (let i = 0; i < values.length; i++) {
    let x = (Math.imul(i, 2654435761) + seed) >>> 0;
    x ^= x >>> 16;
    x = Math.imul(x, 0x45d9f3b);
    x ^= x >>> 16;
    x = Math.imul(x, 0x45d9f3b);
    x ^= x >>> 16;
    values[i] = offset + 2 * scale * ((x >>> 0) / 2 ** 32 - 0.5);
  }
  return values;
}

const product = (shape) => shape.reduce((a, b) => a * b, 1);

/** Values of the weight `prefix.name`. */
export function weight(prefix, name, shape) {
  const values = new Float32Array(product(shape));
  const seed = fnv1a(`${prefix}.${name}`);
  const isEmbedding =
    (name.includes("embedding") && name.endsWith("weight") && !name.includes("patch_embedding")) ||
    name.includes("class_embedding");
  if (isEmbedding) return fill(values, seed, 0.05);
  if (shape.length >= 2) return fill(values, seed, Math.sqrt(3 / product(shape.slice(1))));
  return name.endsWith(".weight") ? fill(values, seed, 0.05, 1) : fill(values, seed, 0.05);
}

/** Values of the input `name`, standard deviation `scale`. */
export const input = (name, shape, scale = 1) =>
  fill(new Float32Array(product(shape)), fnv1a(name), Math.sqrt(3) * scale);

/** A checkpoint whose tensors are computed when they are read. */
export function formulaSource(prefix, module) {
  const shapes = new Map([...module.parameters()].map(([name, parameter]) => [name, parameter.shape]));
  const tensors = new Map(
    [...shapes].map(([name, shape]) => [name, { name, dtype: "F32", shape, byteLength: 4 * product(shape) }]),
  );
  return {
    name: `${prefix} by formula`,
    tensors,
    metadata: new Map(),
    read: async (name) => new Uint8Array(weight(prefix, name, shapes.get(name)).buffer),
    close: async () => {},
  };
}
