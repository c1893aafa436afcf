import { bindRange, ranges } from "../../kernels/bands.ts";
import type { ConvGeometry, GemmCall } from "../../kernels/gemm.ts";
import { OutOfMemoryError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { BYTES, type Tensor } from "../tensor.ts";

/** Sizes of a convolution in full; padding below and to the right is implied by `output`. */
export interface ConvSizes {
  readonly n: number;
  readonly input: readonly [number, number];
  readonly output: readonly [number, number];
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly pad: readonly [number, number];
}

interface Band {
  readonly image: number;
  readonly images: number;
  readonly start: number;
  readonly length: number;
}

/** All images of x and y, channels padded, at once where one binding holds them; else row bands of single images, with their halo. */
export function convBands(x: Tensor, y: Tensor, s: ConvSizes): Band[] {
  const { limits } = x.device.facts;
  const most = limits.maxStorageBufferBindingSize - limits.minStorageBufferOffsetAlignment;
  const [xRow, yRow] = rowBytes(x, y);
  if (s.n * s.input[0] * xRow <= most && s.n * s.output[0] * yRow <= most)
    return [{ image: 0, images: s.n, start: 0, length: s.output[0] }];
  const byInput = Math.floor((Math.floor(most / xRow) - s.kernel[0]) / s.stride[0]) + 1;
  const rows = Math.min(Math.floor(most / yRow), byInput);
  if (rows < 1) {
    const need = Math.max(yRow, xRow * s.kernel[0]);
    throw new OutOfMemoryError(
      "conv2d",
      `one row of ${show(x.shape)} with its kernel needs a binding of ${need} bytes, the device binds at most ${most}`,
      need,
      most,
    );
  }
  const bands: Band[] = [];
  for (let image = 0; image < s.n; image++)
    for (const band of ranges(s.output[0], rows)) bands.push({ image, images: 1, ...band });
  return bands;
}

type BandCall = Required<Pick<GemmCall, "x" | "y" | "m" | "first" | "batchStride">> & { readonly conv: ConvGeometry };

/** Bytes of a row of pixels of x and of y. */
const rowBytes = (x: Tensor, y: Tensor) =>
  [x, y].map((t) => t.shape[2]! * t.shape[3]! * BYTES[t.dtype]) as [number, number];

/** Bindings and geometry of one band. */
export function bandCall(x: Tensor, y: Tensor, s: ConvSizes, band: Band): { call: BandCall; yBytes: [number, number] } {
  const { limits } = x.device.facts;
  const vector = 4 * BYTES[x.dtype];
  const [xRow, yRow] = rowBytes(x, y);
  const clamp = (row: number) => Math.min(Math.max(row, 0), s.input[0]);
  const firstIn = band.images > 1 || band.length === s.output[0] ? 0 : clamp(band.start * s.stride[0] - s.pad[0]);
  const endIn =
    band.images > 1 || band.length === s.output[0]
      ? s.input[0]
      : clamp((band.start + band.length - 1) * s.stride[0] - s.pad[0] + s.kernel[0]);
  // a band that lies on padding alone still needs a row to bind
  const inRows = Math.max(1, (band.images - 1) * s.input[0] + endIn - firstIn);
  const inStart = Math.min(band.image * s.input[0] + firstIn, s.n * s.input[0] - 1);
  const from = bindRange(limits, x.view, inStart * xRow, inRows * xRow);
  const yBytes: [number, number] = [
    (band.image * s.output[0] + band.start) * yRow,
    ((band.images - 1) * s.output[0] + band.length) * yRow,
  ];
  const to = bindRange(limits, y.view, ...yBytes);
  const call = {
    x: from.view,
    y: to.view,
    m: band.images * band.length * s.output[1],
    first: { x: from.skip / vector, y: to.skip / vector },
    batchStride: { x: (s.input[0] * s.input[1] * x.shape[3]!) / 4, w: 0, y: 0 },
    conv: {
      kernel: s.kernel,
      input: s.input,
      outWidth: s.output[1],
      outPixels: band.length * s.output[1],
      stride: s.stride,
      pad: s.pad,
      firstInRow: firstIn,
      firstOutRow: band.start,
    },
  };
  return { call, yBytes };
}
