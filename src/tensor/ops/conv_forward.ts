import type { Activation } from "../../kernels/activation.ts";
import { bindRange } from "../../kernels/bands.ts";
import { gemm } from "../../kernels/gemm.ts";
import type { Shape } from "../../util/shape.ts";
import { floatType } from "../check.ts";
import { packedSizes } from "../packing.ts";
import { Tensor } from "../tensor.ts";
import { bandCall, convBands, type ConvSizes } from "./conv_bands.ts";
import { finish } from "./epilogue.ts";
import { packWeight } from "./pack.ts";
import { padChannels } from "./pad.ts";

/** What follows the sum of a convolution. */
interface ConvEpilogue {
  readonly bias?: Tensor | undefined;
  readonly shift?: Tensor | undefined;
  readonly activation?: Activation;
  readonly residual?: Tensor | undefined;
}

/** The convolution of checked operands, unrecorded: x [n, ...input, in] → `shape`. */
export function convolved(x: Tensor, weight: Tensor, shape: Shape, sizes: ConvSizes, options: ConvEpilogue): Tensor {
  const { bias, shift, activation, residual } = options;
  const elem = floatType("conv2d", x);
  const out = shape.at(-1)!;
  const { device } = x;
  return device.scope(() => {
    const { inputs4, outputs4 } = packedSizes(weight.shape);
    const operand = padChannels(x, inputs4);
    const w = weight.packed ? weight : packWeight(weight);
    const y = Tensor.empty(device, [sizes.n, ...sizes.output, outputs4], x.dtype);
    const wide = out !== outputs4;
    const common = { elem, w: w.view, n4: outputs4 / 4, k4: inputs4 / 4, batches: 1 };
    const post = { bias: bias?.view, shift: shift && padChannels(shift, outputs4).view, activation };
    for (const band of convBands(operand, y, sizes)) {
      const { call, yBytes } = bandCall(operand, y, sizes, band);
      const added = residual && !wide ? bindRange(device.facts.limits, residual.view, ...yBytes).view : undefined;
      const imagesShareShift = shift?.shape[0] === 1;
      gemm(device, {
        ...common,
        ...call,
        epilogue: {
          ...post,
          residual: added,
          firstShift: imagesShareShift ? 0 : band.image,
          rowsPerShift: imagesShareShift ? call.m : call.conv.outPixels,
        },
      });
    }
    return finish(y, out, residual);
  });
}
