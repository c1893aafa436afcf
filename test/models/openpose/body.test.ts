import { describe, expect, test } from "vitest";
import { loadModule } from "../../../src/checkpoint/load.ts";
import { OpenposeBody } from "../../../src/models/openpose/body.ts";
import { permute } from "../../../src/tensor/ops.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { devices, loadFixture, relErr } from "../../helpers.ts";
import { formulaSource, parameters, published } from "./weights.ts";

test("its parameters are the published checkpoint's, by name and shape", () => {
  const own = Object.fromEntries([...new OpenposeBody().parameters()].map(([key, { shape }]) => [key, [...shape]]));
  expect(own).toEqual(Object.fromEntries(parameters.map(([name, shape]) => [published(name), shape])));
});

// 54 GFLOP: on the machine's own adapter alone; the operators are compared on every one.
describe.each((await devices()).slice(0, 1))("on $name", ({ gpu }) => {
  test(
    "fields and heat maps equal PyTorch's, and the last heat maps are clipped at 0",
    { timeout: 120_000 },
    async () => {
      const expected = loadFixture("openpose/net.safetensors");
      const network = new OpenposeBody();
      await loadModule(gpu, network, formulaSource(), { label: "openpose", dtype: "f32" });
      const input = expected.get("input")!;
      const { paf, heat } = gpu.scope(() => {
        const x = permute(Tensor.from(gpu, input.data, input.shape), [0, 2, 3, 1]);
        const maps = network.forward(x);
        return { paf: permute(maps.paf, [0, 3, 1, 2]), heat: permute(maps.heat, [0, 3, 1, 2]) };
      });
      expect(paf.shape).toEqual(expected.get("paf")!.shape);
      expect(heat.shape).toEqual(expected.get("heatmap")!.shape);
      const [fields, heats] = [await paf.data(), await heat.data()];
      expect(relErr(fields, expected.get("paf")!.data)).toBeLessThan(2e-4);
      expect(relErr(heats, expected.get("heatmap")!.data)).toBeLessThan(2e-4);
      expect(Math.min(...heats)).toBe(0);
      expect(Math.min(...fields)).toBeLessThan(0);
      for (const tensor of [paf, heat]) tensor.dispose();
      network.dispose();
    },
  );

  test("a picture of the wrong shape is refused with its shape", () => {
    const network = new OpenposeBody();
    gpu.scope(() => {
      for (const shape of [
        [1, 184, 138, 3],
        [1, 184, 144, 4],
        [184, 144, 3],
      ])
        expect(() => network.forward(Tensor.zeros(gpu, shape))).toThrow(
          `OpenposeBody: x must be [n, 8·i, 8·j, 3], got`,
        );
    });
  });
});
