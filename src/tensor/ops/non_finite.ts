import { nonFinite as count } from "../../kernels/non_finite.ts";
import { floatType } from "../check.ts";
import type { Tensor } from "../tensor.ts";

/** How many elements are NaN or infinite. The tensor may be disposed of before the promise settles. */
export const nonFinite = (x: Tensor): Promise<number> => count(x.device, x.view, x.size, floatType("nonFinite", x));
