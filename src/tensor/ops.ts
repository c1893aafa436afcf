// Every op, as the public `ops`.
export { packWeight } from "./ops/pack.ts";
export { scaledDotProductAttention } from "./ops/attention.ts";
export { add, clamp, div, mul, sub } from "./ops/binary.ts";
export { cast } from "./ops/cast.ts";
export { concat } from "./ops/concat.ts";
export { conv2d } from "./ops/conv2d.ts";
export { linear, matmul } from "./ops/linear.ts";
export { groupNorm, layerNorm } from "./ops/norm.ts";
export { packWeight } from "./ops/pack.ts";
export { permute } from "./ops/permute.ts";
export { repeat } from "./ops/repeat.ts";
export { slice } from "./ops/slice.ts";
export { softmax } from "./ops/softmax.ts";
export { exp, gelu, geluTanh, quickGelu, relu, sigmoid, silu, tanh } from "./ops/unary.ts";
export { weightedSum } from "./ops/weighted_sum.ts";
