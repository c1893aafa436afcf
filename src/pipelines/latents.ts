import type { Device } from "../gpu/device.ts";
import { permute } from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { EmptyMaskError } from "../util/errors.ts";
import type { GrayImage } from "../vision/image.ts";

/** Numbers in PyTorch's layout [n, c, h, w] as a tensor [n, h, w, c]. */
export function fromPlanes(device: Device, data: Float32Array, shape: readonly number[]): Tensor {
  return device.scope(() => permute(Tensor.from(device, data, shape), [0, 2, 3, 1]));
}

/** The mask at the latents' size: the first pixel of every `scale`, 0 or 1, [1, h, w, 1]. @throws EmptyMaskError */
export function latentMask(device: Device, mask: GrayImage, scale: number): Tensor {
  const { values, h, w } = latentRegion(mask, scale);
  if (!values.includes(1))
    throw new EmptyMaskError("mask", `too small to paint: nothing of it is left in latents of ${w}x${h}`);
  return Tensor.from(device, values, [1, h, w, 1]);
}

/** The same numbers on the host; there may be none but zeros. */
export function latentRegion(mask: GrayImage, scale: number): { values: Float32Array; h: number; w: number } {
  const [h, w] = [mask.height / scale, mask.width / scale];
  const at = (i: number) => mask.data[Math.floor(i / w) * scale * mask.width + (i % w) * scale]!;
  return { values: Float32Array.from({ length: h * w }, (_, i) => (at(i) > 127 ? 1 : 0)), h, w };
}
