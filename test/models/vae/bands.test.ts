import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModule } from "../../../src/checkpoint/load.ts";
import { openCheckpoint } from "../../../src/checkpoint/open.ts";
import type { Device } from "../../../src/gpu/device.ts";
import { AutoencoderKL } from "../../../src/models/vae/vae.ts";
import { directory } from "../../../src/node/files.ts";
import { requestDevice } from "../../../src/node/device.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { OutOfMemoryError } from "../../../src/util/errors.ts";
import { fixture, normal } from "../../helpers.ts";

const folder = directory(fixture("checkpoints/ootd"));

async function loadVae(device: Device): Promise<AutoencoderKL> {
  const vae = new AutoencoderKL(JSON.parse(await folder.text("vae/config.json")));
  const source = await openCheckpoint(folder, "vae/diffusion_pytorch_model");
  await loadModule(device, vae, source, { label: "vae", dtype: "f32" });
  await source.close();
  return vae;
}

describe("an autoencoder whose maps are larger than a binding", () => {
  let whole: Device;
  let banded: Device;

  beforeAll(async () => {
    whole = await requestDevice();
    // the widest map below, [1, 192, 128, 32] f32, needs 3 MiB
    banded = await requestDevice({
      fakeLimits: { maxStorageBufferBindingSize: 200_000, minStorageBufferOffsetAlignment: 256 },
    });
  });
  afterAll(() => {
    whole.destroy();
    banded.destroy();
  });

  const decode = async (device: Device, h: number, w: number) => {
    const vae = await loadVae(device);
    const picture = device.scope(() => vae.decode(Tensor.from(device, normal(1, h * w * 4), [1, h, w, 4])));
    const values = await picture.data();
    picture.dispose();
    vae.dispose();
    expect(device.memory.live).toBe(0);
    return values;
  };

  const encode = async (device: Device, h: number, w: number) => {
    const vae = await loadVae(device);
    const mode = device.scope(() =>
      vae.encode(Tensor.from(device, normal(2, h * w * 3, { scale: 0.5 }), [1, h, w, 3])).mode(),
    );
    const values = await mode.data();
    mode.dispose();
    vae.dispose();
    return values;
  };

  test.for([
    [24, 16],
    [23, 13], // rows whose bytes are no multiple of the offset alignment
  ] as const)("decodes %i x %i latents to the same bits, so there is no seam", async ([h, w]) => {
    expect(await decode(banded, h, w)).toEqual(await decode(whole, h, w));
  });

  test.for([
    [192, 128],
    [104, 88],
  ] as const)("encodes %i x %i pixels to the same bits", async ([h, w]) => {
    expect(await encode(banded, h, w)).toEqual(await encode(whole, h, w));
  });

  test("a binding too small for one row says what is needed", async () => {
    const tiny = await requestDevice({ fakeLimits: { maxStorageBufferBindingSize: 4096 } });
    await expect(decode(tiny, 24, 16)).rejects.toThrow(OutOfMemoryError);
    tiny.destroy();
  });
});
