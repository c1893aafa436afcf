import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { fillModule } from "../../../src/checkpoint/fill.ts";
import { encodeSafetensors, type TensorToWrite } from "../../../src/checkpoint/write.ts";
import { UNet2DConditionModel } from "../../../src/models/unet/unet.ts";
import { requestDevice } from "../../../src/node/device.ts";
import { directory } from "../../../src/node/files.ts";
import { permute } from "../../../src/tensor/ops.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { normal } from "../../helpers.ts";
import { scratch, toile } from "../../cli/run.ts";

// Optional: runs where TOILE_PYTHON (or python3) has diffusers.

const python = process.env["TOILE_PYTHON"] ?? "python3";
const hasDiffusers = spawnSync(python, ["-c", "import diffusers"]).status === 0;

const CONFIG = {
  block_out_channels: [8, 16],
  down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
  up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
  ...{ layers_per_block: 1, attention_head_dim: 2, cross_attention_dim: 32, norm_num_groups: 4 },
};
const [H, W, TOKENS, TIMESTEP] = [8, 6, 5, 321];

test.skipIf(!hasDiffusers)(
  "diffusers loads what was trained, and computes the same",
  { timeout: 120_000 },
  async () => {
    const folder = scratch();
    const [config, out] = [join(folder, "unet.json"), join(folder, "out")];
    writeFileSync(config, JSON.stringify(CONFIG));
    const small = [
      "--drawn",
      "2",
      "--width",
      "64",
      "--height",
      "64",
      "--train_batch_size",
      "1",
      "--learning_rate",
      "1e-2",
    ];
    expect(
      toile(["train", ...small, "--unet_config", config, "--output_dir", out, "--max_train_steps", "2"]).code,
    ).toBe(0);
    const checkpoint = join(out, "checkpoint-2");
    const device = await requestDevice();
    const cases: TensorToWrite[] = [];
    const inputs: Record<string, number> = {};
    for (const name of ["unet_garm", "unet_vton"]) {
      const files = directory(join(checkpoint, name));
      const unet = new UNet2DConditionModel(JSON.parse(await files.text("config.json")));
      await fillModule(device, unet, files, "diffusion_pytorch_model", { label: name, dtype: "f32" });
      const { in_channels: channels, out_channels: latent } = unet.config;
      inputs[name] = channels;
      const planes = normal(channels, channels * H * W);
      const hidden = normal(9, TOKENS * 32);
      const output = device.scope(() => {
        const sample = permute(Tensor.from(device, planes, [1, channels, H, W]), [0, 2, 3, 1]);
        const text = unet.encodeText(Tensor.from(device, hidden, [1, TOKENS, 32]));
        return permute(unet.forward(sample, unet.encodeTime([TIMESTEP]).at(0), text), [0, 3, 1, 2]);
      });
      const add = (part: string, shape: number[], data: Float32Array) =>
        cases.push({ name: `${name}.${part}`, dtype: "F32", shape, data });
      add("sample", [1, channels, H, W], planes);
      add("hidden", [1, TOKENS, 32], hidden);
      add("timestep", [], Float32Array.of(TIMESTEP));
      add("output", [1, latent, H, W], await output.data());
    }
    device.destroy();
    const file = join(folder, "cases.safetensors");
    writeFileSync(file, encodeSafetensors(cases));
    const script = fileURLToPath(new URL("unet.py", import.meta.url));
    const ran = spawnSync(python, [script, checkpoint, file], { encoding: "utf8" });
    expect([ran.status, ran.status === 0 ? "" : ran.stderr]).toEqual([0, ""]);
    const found = JSON.parse(ran.stdout);
    expect(inputs["unet_vton"]).toBe(2 * inputs["unet_garm"]!);
    for (const name of Object.keys(inputs)) {
      expect(found[name]).toMatchObject({ missing: [], unexpected: [], mismatched: [], inputs: inputs[name] });
      expect(found[name].largest).toBeGreaterThan(0.1);
      expect(found[name].difference / found[name].largest).toBeLessThan(1e-5);
    }
  },
);
