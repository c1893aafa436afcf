// What peers made for browsers ask of one, so that they run on Dawn in Node. Import it before them.
import { create, globals } from "webgpu";

Object.assign(globalThis, globals);
Object.defineProperty(globalThis, "navigator", {
  value: { gpu: create(["enable-dawn-features=allow_unsafe_apis"]), userAgent: "node" },
  configurable: true,
});

// jax-js uses iterator helpers, which Node 20 does not have
const iterators = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
for (const name of ["map", "filter"])
  iterators[name] ??= function (fn) {
    return Array.from(this)[name](fn).values();
  };
iterators.toArray ??= function () {
  return Array.from(this);
};
