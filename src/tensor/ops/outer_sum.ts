import { bindRange, rowBands } from "../../kernels/bands.ts";
import { outer, type OuterPart } from "../../kernels/outer.ts";
import { floatType } from "../check.ts";
import { BYTES, Tensor } from "../tensor.ts";
import { concat } from "./concat.ts";
import { cropChannels, padChannels } from "./pad.ts";
import { slice } from "./slice.ts";

const up4 = (n: number) => Math.ceil(n / 4) * 4;

/** gᵀ · x of each batch, f32: g [b?, rows, o], x [b?, rows, i] → [b?, o, i]. Unrecorded: weights' gradients. */
export function outerSum(g: Tensor, x: Tensor): Tensor {
  const { device } = g;
  const [o, i] = [g.shape.at(-1)!, x.shape.at(-1)!];
  const batches = g.shape.length === 3 ? g.shape[0]! : 1;
  const rows = g.size / o / batches;
  const { limits } = device.facts;
  return device.scope(() => {
    const [left, right] = [padChannels(g, up4(o)), padChannels(x, up4(i))];
    const whole = Math.max(left.view.bytes, right.view.bytes) <= limits.maxStorageBufferBindingSize;
    if (!whole && batches > 1) {
      const one = (t: Tensor, at: number) => slice(t, 0, at, at + 1).reshape(...t.shape.slice(1));
      const parts = Array.from({ length: batches }, (_, at) => outerSum(one(g, at), one(x, at)).reshape(1, o, i));
      return concat(parts, 0);
    }
    const y = Tensor.empty(device, [...g.shape.slice(0, -2), o, up4(i)]);
    const bytes = BYTES[g.dtype];
    const [gRow, xRow] = [up4(o) * bytes, up4(i) * bytes];
    const parts: OuterPart[] = whole
      ? [{ g: left.view, x: right.view, rows, first: { g: 0, x: 0 } }]
      : rowBands(limits, rows, Math.max(gRow, xRow)).map(({ start, length }) => {
          const from = bindRange(limits, left.view, start * gRow, length * gRow);
          const to = bindRange(limits, right.view, start * xRow, length * xRow);
          const first = { g: from.skip / (4 * bytes), x: to.skip / (4 * bytes) };
          return { g: from.view, x: to.view, rows: length, first };
        });
    const batched = parts.map((part) => ({ ...part, gBatch: (rows * up4(o)) / 4, xBatch: (rows * up4(i)) / 4 }));
    const elem = floatType("outerSum", g);
    outer(device, { elem, batches, outputs: o, k4: up4(i) / 4, taps: 1, parts: batched, y: y.view });
    return cropChannels(y, i);
  });
}
