import { gather } from "../../kernels/gather.ts";
import { scatter } from "../../kernels/scatter.ts";
import { stridedCopy } from "../../kernels/strided_copy.ts";
import { DTypeError, ShapeError } from "../../util/errors.ts";
import { show } from "../../util/shape.ts";
import { dataOf, floatType } from "../check.ts";
import { recorded } from "../recording.ts";
import { Tensor } from "../tensor.ts";

/**
 * Rows of a table by number.
 * @param ids [...] i32; an id outside the table gives zeros
 * @param weight [rows, c]
 * @returns [..., c]
 * @throws ShapeError, DTypeError
 */
export function embedding(ids: Tensor, weight: Tensor): Tensor {
  if (ids.dtype !== "i32") throw new DTypeError("embedding", `ids are ${ids.dtype}, i32 is needed`);
  const [rows = 0, channels = 0] = weight.shape;
  if (weight.shape.length !== 2)
    throw new ShapeError("embedding", `weight must be [rows, channels], got ${show(weight.shape)}`);
  dataOf("embedding", ids);
  const elem = floatType("embedding", weight);
  const sizes = { count: ids.size, rows, channels, elem };
  const rule = {
    inputs: [weight],
    save: () => ({ ids }),
    backward: (g: Tensor, { ids }: { ids: Tensor }) => {
      const gw = Tensor.empty(g.device, [rows, channels], elem);
      stridedCopy(g.device, [gw.size], "zeros", { view: gw.view, elem, first: 0, strides: [1] });
      scatter(g.device, { ids: ids.view, g: g.view, y: gw.view, ...sizes });
      return [gw];
    },
  };
  return recorded(ids.device, rule, () => {
    const y = Tensor.empty(ids.device, [...ids.shape, channels], weight.dtype);
    gather(ids.device, { ids: ids.view, table: weight.view, y: y.view, ...sizes });
    return y;
  });
}
