import { WeightsError } from "../util/errors.ts";
import { quote, type TensorInfo, type TensorSource } from "./source.ts";

/** Tensors of a batch norm that are folded, or only count how often it was trained. */
const NORM = /\.bn\.(weight|bias|running_mean|running_var|num_batches_tracked)$/;

/**
 * A checkpoint whose convolutions `X.conv` have no bias but a batch norm `X.bn` (Ioffe and Szegedy 2015, arXiv
 * 1502.03167, equation 11), as one whose convolutions have a bias and no norm: scaled by weight / √(variance + eps).
 * @throws WeightsError for a convolution without all of its norm, and for other types than F32
 */
export function foldBatchNorms(source: TensorSource, eps: number): TensorSource {
  const tensors = new Map<string, TensorInfo>();
  const numbers = async (name: string): Promise<Float32Array<ArrayBuffer>> => {
    const found = source.tensors.get(name);
    if (found?.dtype !== "F32")
      throw new WeightsError(source.name, `${quote(name)} is ${found?.dtype ?? "missing"}, F32 is needed`);
    return new Float32Array((await source.read(name)).buffer);
  };
  for (const tensor of source.tensors.values()) {
    if (NORM.test(tensor.name)) continue;
    tensors.set(tensor.name, tensor);
    const outputs = tensor.shape[0] ?? 0;
    const bias = tensor.name.replace(/\.conv\.weight$/, ".conv.bias");
    if (bias !== tensor.name)
      tensors.set(bias, { name: bias, dtype: "F32", shape: [outputs], byteLength: 4 * outputs });
  }
  const scales = async (block: string): Promise<Float64Array> => {
    const [weight, variance] = [await numbers(`${block}.bn.weight`), await numbers(`${block}.bn.running_var`)];
    return Float64Array.from(weight, (value, i) => value / Math.sqrt(variance[i]! + eps));
  };
  const folded = async (block: string, part: "weight" | "bias"): Promise<Float32Array<ArrayBuffer>> => {
    const scale = await scales(block);
    if (part === "weight") {
      const weight = await numbers(`${block}.conv.weight`);
      const inputs = weight.length / scale.length;
      return weight.map((value, i) => value * scale[Math.floor(i / inputs)]!);
    }
    const mean = await numbers(`${block}.bn.running_mean`);
    return (await numbers(`${block}.bn.bias`)).map((value, i) => value - mean[i]! * scale[i]!);
  };
  return {
    name: source.name,
    tensors,
    metadata: source.metadata,
    read: async (name, offset = 0, length) => {
      const [, block, part] = /^(.*)\.conv\.(weight|bias)$/.exec(name) ?? [];
      if (block === undefined) return source.read(name, offset, length);
      const bytes = new Uint8Array((await folded(block, part as "weight" | "bias")).buffer);
      return bytes.slice(offset, length === undefined ? undefined : offset + length);
    },
    close: () => source.close(),
  };
}
