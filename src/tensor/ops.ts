// Every op, as the public `ops`.
export { exp, gelu, geluTanh, quickGelu, relu, sigmoid, silu, tanh } from "./ops/unary.ts";
