/** Tensors of a small safetensors file in memory: F32 and I32 only, names to { shape, data }. */
export function readTensors(file) {
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString());
  const tensors = new Map();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [begin, end] = entry.data_offsets;
    const bytes = Uint8Array.from(file.subarray(8 + length + begin, 8 + length + end)).buffer;
    tensors.set(name, {
      shape: entry.shape,
      data: entry.dtype === "F32" ? new Float32Array(bytes) : new Int32Array(bytes),
    });
  }
  return tensors;
}
