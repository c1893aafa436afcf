import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { foreignToTower } from "../../src/checkpoint/keys.ts";
import { loadModule } from "../../src/checkpoint/load.ts";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { filesFolder } from "../../src/checkpoint/source.ts";
import { encodeSafetensors, type TensorToWrite } from "../../src/checkpoint/write.ts";
import { CLIPTextModel } from "../../src/models/clip/text.ts";
import { CLIPVisionModelWithProjection } from "../../src/models/clip/vision.ts";
import { AutoencoderKL } from "../../src/models/vae/vae.ts";
import type { Module } from "../../src/nn/module.ts";
import { directory } from "../../src/node/files.ts";
import { devices, fixture } from "../helpers.ts";
import { py, torchLegacy, torchZip, type Code } from "./build.ts";

/** The small reference checkpoints, saved again in the forms in which the real ones are published. */
const root = directory(fixture("checkpoints"));
const VAE = "ootd/vae/diffusion_pytorch_model";
const TEXT = "ootd/text_encoder/model";
const VISION = "clip-vit-large-patch14/model";
const json = (path: string) => JSON.parse(readFileSync(fixture(`checkpoints/${path}`), "utf8")) as unknown;
const vae = () => new AutoencoderKL(json("ootd/vae/config.json"));
const text = () => new CLIPTextModel(json("ootd/text_encoder/config.json"));
const vision = () => new CLIPVisionModelWithProjection(json("clip-vit-large-patch14/config.json"));

async function tensorsOf(base: string): Promise<(TensorToWrite & { data: Uint8Array<ArrayBuffer> })[]> {
  const source = await openCheckpoint(root, base);
  const tensors = [];
  for (const info of source.tensors.values()) tensors.push({ ...info, data: await source.read(info.name) });
  await source.close();
  return tensors;
}

type Save = (code: Code, storages: Record<string, Uint8Array>) => Uint8Array;

/** A PyTorch file of those tensors, the metadata that state_dict() attaches included. */
function saved(tensors: readonly (TensorToWrite & { data: Uint8Array })[], save: Save): Uint8Array {
  const storages = Object.fromEntries(tensors.map(({ data }, i) => [`k${i}`, data]));
  const pairs = tensors.map(({ name, dtype, shape }, i): Code => {
    const strides = shape.map((_, at) => shape.slice(at + 1).reduce((a, b) => a * b, 1));
    const count = shape.reduce((a, b) => a * b, 1);
    const type = dtype === "F16" ? "HalfStorage" : dtype === "I64" ? "LongStorage" : "FloatStorage";
    return [...py.str(name), ...py.tensor(py.storage(`k${i}`, count, type), [...shape], strides)];
  });
  const metadata = py.dict([py.str("_metadata"), py.ordered()]);
  return save([...py.ordered(), 0x28, ...pairs.flat(), 0x75, ...metadata, 0x62], storages);
}

const counted = (tensors: readonly TensorToWrite[]) =>
  Object.fromEntries(tensors.map(({ shape }, i) => [`k${i}`, shape.reduce((a, b) => a * b, 1)]));
const legacy =
  (tensors: readonly TensorToWrite[]): Save =>
  (code, storages) =>
    torchLegacy(code, storages, counted(tensors));

const old = (name: string) =>
  name
    .replace(/(attentions\.\d+)\.to_out\.0\./, "$1.proj_attn.")
    .replace(/(attentions\.\d+)\.to_q\./, "$1.query.")
    .replace(/(attentions\.\d+)\.to_k\./, "$1.key.")
    .replace(/(attentions\.\d+)\.to_v\./, "$1.value.");

describe.each(await devices())("published forms on $name", ({ gpu }) => {
  const load = async <M extends Module>(
    module: M,
    folder: typeof root,
    base: string,
    ignore?: (key: string) => boolean,
  ) => {
    const source = await openCheckpoint(folder, base);
    await loadModule(gpu, module, source, { label: base, dtype: "f32", ...(ignore && { ignore }) });
    await source.close();
    return module;
  };
  /** Loads the same weights from both places and compares every parameter bit for bit. */
  const same = async (
    make: () => Module,
    base: string,
    file: string,
    bytes: Uint8Array,
    ignore?: (key: string) => boolean,
  ) => {
    const folder = filesFolder("saved", new Map([[file, new Blob([new Uint8Array(bytes)])]]));
    const expected = await load(make(), root, base);
    const actual = await load(make(), folder, base, ignore);
    const parameters = new Map(actual.parameters());
    for (const [key, parameter] of expected.parameters())
      expect(
        Buffer.from((await parameters.get(key)!.tensor.data()).buffer).equals(
          Buffer.from((await parameter.tensor.data()).buffer),
        ),
        key,
      ).toBe(true);
    for (const module of [expected, actual]) module.dispose();
  };

  test.for(["zip", "legacy"])("the VAE as diffusion_pytorch_model.bin in the %s format", async (format) => {
    const tensors = await tensorsOf(VAE);
    await same(vae, VAE, `${VAE}.bin`, saved(tensors, format === "zip" ? torchZip : legacy(tensors)));
  });

  test("the VAE with the attention names and shapes of old", async () => {
    const tensors = (await tensorsOf(VAE)).map((each) => {
      const name = old(each.name);
      return {
        ...each,
        name,
        shape: name !== each.name && each.shape.length === 2 ? [...each.shape, 1, 1] : each.shape,
      };
    });
    expect(tensors.filter(({ name }) => name.includes("proj_attn"))).toHaveLength(4);
    await same(vae, VAE, `${VAE}.bin`, saved(tensors, torchZip));
  });

  const positions = (tower: string) => ({
    name: `${tower}.embeddings.position_ids`,
    dtype: "I64",
    shape: [1, 2],
    data: new Uint8Array(16),
  });

  test("the text encoder as pytorch_model.bin with its position_ids", async () => {
    const tensors = [positions("text_model"), ...(await tensorsOf(TEXT))];
    const file = "ootd/text_encoder/pytorch_model.bin";
    await same(text, TEXT, file, saved(tensors, legacy(tensors)), foreignToTower("text"));
  });

  test("either tower out of a whole CLIPModel", async () => {
    const whole = encodeSafetensors([
      ...(await tensorsOf(TEXT)),
      ...(await tensorsOf(VISION)),
      positions("text_model"),
      positions("vision_model"),
      { name: "text_projection.weight", dtype: "F32", shape: [1], data: Float32Array.of(1) },
      { name: "logit_scale", dtype: "F32", shape: [], data: Float32Array.of(4.6) },
    ]);
    await same(text, TEXT, `${TEXT}.safetensors`, whole, foreignToTower("text"));
    await same(vision, VISION, `${VISION}.safetensors`, whole, foreignToTower("vision"));
    const folder = filesFolder("saved", new Map([[`${TEXT}.safetensors`, new Blob([whole])]]));
    await expect(load(text(), folder, TEXT)).rejects.toThrow("0 missing, 44 unexpected");
  });
});
