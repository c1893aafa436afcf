import { afterAll, describe, expect, test } from "vitest";
import { DiagonalGaussian, AutoencoderKL } from "../../../src/models/vae/vae.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { devices, loadFixture, normal, relErr } from "../../helpers.ts";
import { loadTiny, nhwc, upload } from "../checkpoints.ts";
import { pixels } from "./pixels.ts";

const RUNS = ["hd-upperbody", "dc-upperbody", "dc-lowerbody", "dc-dress"];

describe.each(await devices())("AutoencoderKL on $name", async ({ gpu }) => {
  const vae = await loadTiny(gpu, "ootd/vae", (config) => new AutoencoderKL(config));
  afterAll(() => vae.dispose());

  // masked.png is encoded as it is; the second guidance half of garm_latents is zero
  test.for(RUNS)("encodes the pictures of %s", async (run) => {
    const golden = loadFixture(`pipeline/${run}/expected.safetensors`);
    for (const [picture, name] of [
      ["masked.png", "vton_latents"],
      ["garment.png", "garm_latents"],
      ["person.png", "image_ori_latents"],
    ] as const) {
      const image = await pixels(`pipeline/${run}/${picture}`);
      const { live } = gpu.memory;
      const mode = gpu.scope(() => vae.encode(Tensor.from(gpu, image.data, image.shape)).mode());
      const expected = nhwc(golden.get(name)!);
      expect(mode.shape).toEqual([1, ...expected.shape.slice(1)]);
      expect(relErr(await mode.data(), expected.data.slice(0, mode.size)), `${picture} → ${name}`).toBeLessThan(2e-4);
      mode.dispose();
      expect(gpu.memory.live).toBe(live);
    }
  });

  test.for(RUNS)("decodes the picture of %s", async (run) => {
    const golden = loadFixture(`pipeline/${run}/expected.safetensors`);
    const latents = upload(gpu, golden.get("latents.4")!);
    const scaled = Tensor.from(
      gpu,
      (await latents.data()).map((z) => z / vae.config.scaling_factor),
      latents.shape,
    );
    const decoded = await gpu.scope(() => vae.decode(scaled)).data();
    const image = decoded.map((value) => Math.min(Math.max(value / 2 + 0.5, 0), 1));
    expect(relErr(image, golden.get("image")!.data)).toBeLessThan(2e-4);
  });

  test("refuses sizes that do not divide", () => {
    gpu.scope(() => {
      expect(() => vae.encode(Tensor.zeros(gpu, [1, 20, 16, 3]))).toThrow(
        "[1, 20, 16, 3], [n, h, w, 3] with sides divisible by 8",
      );
      expect(() => vae.decode(Tensor.zeros(gpu, [1, 2, 2, 3]))).toThrow("[1, 2, 2, 3], [n, h, w, 4]");
    });
  });

  test("a sample is mean + exp(logvar / 2) · noise, with the logarithm clamped", async () => {
    const shape = [1, 2, 3, 4];
    const [mean, noise] = [normal(1, 24), normal(2, 24)];
    const latents = gpu.scope(() => {
      const logvar = Tensor.from(gpu, new Float32Array(24).fill(-2), shape);
      return new DiagonalGaussian(Tensor.from(gpu, mean, shape), logvar).sample(Tensor.from(gpu, noise, shape));
    });
    expect(
      relErr(
        await latents.data(),
        mean.map((m, i) => m + Math.exp(-1) * noise[i]!),
      ),
    ).toBeLessThan(1e-6);
    const { logvar } = gpu.scope(() =>
      vae.encode(Tensor.from(gpu, normal(3, 16 * 16 * 3, { scale: 1e4 }), [1, 16, 16, 3])),
    );
    expect(Math.max(...(await logvar.data()).map(Math.abs))).toBeLessThanOrEqual(30);
    expect(logvar.shape).toEqual([1, 2, 2, 4]);
  });
});
