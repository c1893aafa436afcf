import { softmax as kernel } from "../../kernels/rows.ts";
import { softmaxBackward } from "../../kernels/rows_backward.ts";
import { ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { floatType } from "../check.ts";
import { recorded } from "../recording.ts";
import { Tensor } from "../tensor.ts";
import { cropChannels, padChannels } from "./pad.ts";

/**
 * exp(x - max) / Σ exp(x - max) over the last dimension.
 * @param dim -1 or the number of the last dimension; `permute` brings another one there
 * @throws ShapeError for another `dim`; DTypeError
 */
export function softmax(x: Tensor, dim = -1): Tensor {
  const elem = floatType("softmax", x);
  if (dim !== -1 && dim !== x.shape.length - 1)
    throw new ShapeError(
      "softmax",
      `dimension ${dim} of ${show(x.shape)}: only the last is possible, permute it there`,
    );
  const length = x.shape.at(-1)!;
  const rows = x.size / length;
  const rule = {
    inputs: [x],
    save: (y: Tensor) => ({ y }),
    backward: (g: Tensor, { y }: { y: Tensor }) => {
      const [own, of] = [padChannels(y, up4(length)), padChannels(g, up4(length))];
      const gx = Tensor.empty(y.device, own.shape, y.dtype);
      softmaxBackward(y.device, { y: own.view, g: of.view, gx: gx.view, rows, length: up4(length), elem });
      return [cropChannels(gx, length)];
    },
  };
  return recorded(x.device, rule, () =>
    x.device.scope(() => {
      const padded = padChannels(x, up4(length));
      const y = Tensor.empty(x.device, padded.shape, x.dtype);
      kernel(x.device, { x: padded.view, y: y.view, rows, length, elem });
      return cropChannels(y, length);
    }),
  );
}

const up4 = (n: number) => Math.ceil(n / 4) * 4;
