import { afterAll, beforeAll, expect, test } from "vitest";
import * as toile from "../../src/index.ts";
import { requestDevice, writePng } from "../../src/node/index.ts";

// Who writes JavaScript has no compiler: what the types forbid is refused in one line all the same.

let device: toile.Device;
beforeAll(async () => void (device = await requestDevice()));
afterAll(() => device.destroy());

const wrong = undefined as never;
const { Tensor, TorchGenerator, createScheduler, defineKernel, valueAndGrad } = toile;
const empty = () =>
  defineKernel({ name: "empty", files: { "empty.wgsl": "" }, spec: {}, params: {}, bind: { x: "read" } });

const CASES: Readonly<Record<string, readonly [act: () => unknown, message: RegExp]>> = {
  "a tensor without a shape": [() => Tensor.from(device, [1], wrong), /^Tensor.from: the shape is missing$/],
  "a scheduler without a configuration": [() => createScheduler(wrong), /^createScheduler: _class_name is undefined/],
  "a seed that is a word": [() => new TorchGenerator("one" as never), /^seed: one is not an integer/],
  "a picture that there is not": [() => writePng("never.png", wrong), /^image: undefined is no picture$/],
  "a kernel's binding left out": [
    () => device.run(empty(), { params: {}, bind: {} as never, groups: 1 }),
    /^empty: binding x is missing$/,
  ],
  "a loss that is a promise": [
    () => valueAndGrad(device, (async () => Tensor.zeros(device, [])) as never, []),
    /^valueAndGrad: the function must return a tensor at once$/,
  ],
  "no checkpoint": [
    () => toile.StableDiffusionPipeline.fromPretrained(wrong, { device }),
    /^stable diffusion: no checkpoint was named$/,
  ],
  "a checkpoint that is a number": [
    () => toile.TryOnPipeline.fromPretrained(5 as never, { device }),
    /^try-on: 5 is neither a path nor a folder$/,
  ],
  "a server's folder without a server": [
    () => toile.remoteFolder("weights"),
    /^"weights": is no absolute URL; `new URL\(path, location.href\)` makes one of a path$/,
  ],
  "a PNG's text that is a number": [
    () => writePng("never.png", { width: 1, height: 1, data: new Uint8Array(3) }, { text: { seed: 5 as never } }),
    /^PNG text: the text of "seed" is 5, a string is needed$/,
  ],
};

test.for(Object.entries(CASES))("%s", async ([, [act, message]]) => {
  const error = await (async () => act())().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(toile.ToileError);
  expect((error as Error).message).toMatch(message);
});
