import { stridedCopy } from "../../kernels/strided_copy.ts";
import { Tensor } from "../tensor.ts";

/** Zeros after the last dimension until it has `channels` entries; x itself where it has them. */
export function padChannels(x: Tensor, channels: number): Tensor {
  const own = x.shape.at(-1)!;
  if (own === channels) return x;
  const rows = x.size / own;
  const y = Tensor.empty(x.device, [...x.shape.slice(0, -1), channels], x.dtype);
  const to = { view: y.view, elem: y.dtype, first: 0, strides: [channels, 1] };
  stridedCopy(x.device, [rows, own], { view: x.view, elem: x.dtype, first: 0, strides: [own, 1] }, to);
  stridedCopy(x.device, [rows, channels - own], "zeros", { ...to, first: own });
  return y;
}

/** The first `channels` entries of the last dimension; x itself where there are no more. */
export function cropChannels(x: Tensor, channels: number): Tensor {
  const own = x.shape.at(-1)!;
  if (own === channels) return x;
  const y = Tensor.empty(x.device, [...x.shape.slice(0, -1), channels], x.dtype);
  stridedCopy(
    x.device,
    [x.size / own, channels],
    { view: x.view, elem: x.dtype, first: 0, strides: [own, 1] },
    { view: y.view, elem: y.dtype, first: 0, strides: [channels, 1] },
  );
  return y;
}
