import { expect, test } from "vitest";
import * as errors from "../../src/util/errors.ts";

// A bundler shortens names of classes, so that a name taken from the class would be another one in every bundle.
test.for(Object.entries(errors))("%s says its own name", ([name, Kind]) => {
  const ToileErrorKind = Kind as new (op: string, what: string) => Error;
  const Shortened = { a: class extends ToileErrorKind {} }.a;
  expect([new ToileErrorKind("op", "what").name, new Shortened("op", "what").name]).toEqual([name, name]);
});
