import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { encodeSafetensors, type TensorToWrite } from "../../src/checkpoint/write.ts";
import { filesFolder, type Folder } from "../../src/checkpoint/source.ts";
import { readImage } from "../../src/node/images.ts";
import type { GrayImage, RgbImage } from "../../src/vision/image.ts";
import { fixture } from "../helpers.ts";

const OOTD = "checkpoints/ootd";
const UNET = `${OOTD}/ootd_hd/checkpoint-36000/unet_garm`;
const bytes = (path: string): Uint8Array => new Uint8Array(readFileSync(fixture(path)));
const json = (path: string) => JSON.parse(readFileSync(fixture(path), "utf8")) as Record<string, unknown>;

/** Where the parts of the small pipeline lie among the fixtures, by their paths in diffusers' layout. */
const FILES: Readonly<Record<string, string>> = {
  "unet/diffusion_pytorch_model.safetensors": `${UNET}/diffusion_pytorch_model.safetensors`,
  "vae/config.json": `${OOTD}/vae/config.json`,
  "vae/diffusion_pytorch_model.safetensors": `${OOTD}/vae/diffusion_pytorch_model.safetensors`,
  "text_encoder/config.json": `${OOTD}/text_encoder/config.json`,
  "text_encoder/model.safetensors": `${OOTD}/text_encoder/model.safetensors`,
  "tokenizer/vocab.json": `${OOTD}/tokenizer/vocab.json`,
  "tokenizer/merges.txt": `${OOTD}/tokenizer/merges.txt`,
  "tokenizer/tokenizer_config.json": `${OOTD}/tokenizer/tokenizer_config.json`,
  "tokenizer/special_tokens_map.json": `${OOTD}/tokenizer/special_tokens_map.json`,
  "scheduler/scheduler_config.json": `${OOTD}/scheduler/scheduler_config.json`,
};

/** The files of a small Stable Diffusion checkpoint in diffusers' layout; 9 input channels are for inpainting. */
export function layoutFiles(channels: 4 | 9 = 4): Map<string, Uint8Array> {
  const files = new Map(Object.entries(FILES).map(([path, from]) => [path, bytes(from)]));
  const text = (value: object) => new TextEncoder().encode(JSON.stringify(value));
  const config = { ...json(`${UNET}/config.json`), _class_name: "UNet2DConditionModel", in_channels: channels };
  files.set("model_index.json", text({ _class_name: "StableDiffusionPipeline" }));
  files.set("unet/config.json", text(config));
  const unet = "unet/diffusion_pytorch_model.safetensors";
  if (channels === 9) files.set(unet, withNineChannels(files.get(unet)!));
  return files;
}

/** The same on the disk. @returns the folder */
export function writeLayout(folder: string): string {
  for (const [path, content] of layoutFiles()) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

export const asFolder = (files: ReadonlyMap<string, Uint8Array>, name = "tiny"): Folder =>
  filesFolder(
    name,
    new Map([...files].map(([path, content]) => [path, new Blob([content as Uint8Array<ArrayBuffer>])])),
  );

/** Numbers between -0.5 and 0.5 by position: the formula of make.py. */
function fill(name: string, count: number): Float32Array {
  let s = 2166136261;
  for (const byte of new TextEncoder().encode(name)) s = Math.imul(s ^ byte, 16777619) >>> 0;
  return Float32Array.from({ length: count }, (_, i) => {
    let x = (Math.imul(i, 2654435761) + s) >>> 0;
    for (let round = 0; round < 2; round++) x = Math.imul(x ^ (x >>> 16), 0x45d9f3b) >>> 0;
    return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32 - 0.5;
  });
}

/** The first convolution [16, 4, 3, 3] with five input channels more. */
function withNineChannels(file: Uint8Array): Uint8Array {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length))) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = Object.entries(header).flatMap(([name, entry]): TensorToWrite[] => {
    if (name === "__metadata__") return [];
    const [begin, end] = entry.data_offsets.map((at) => 8 + length + at) as [number, number];
    const data = file.slice(begin, end);
    if (name !== "conv_in.weight") return [{ name, dtype: entry.dtype, shape: entry.shape, data }];
    const [own, more] = [new Float32Array(data.buffer), fill("conv_in.weight.9", 16 * 5 * 9)];
    const wide = new Float32Array(16 * 9 * 9);
    for (let o = 0; o < 16; o++) {
      wide.set(own.subarray(o * 36, (o + 1) * 36), o * 81);
      wide.set(more.subarray(o * 45, (o + 1) * 45), o * 81 + 36);
    }
    return [{ name, dtype: "F32", shape: [16, 9, 3, 3], data: wide }];
  });
  return encodeSafetensors(tensors);
}

/** Part of a picture. */
function crop({ width, data }: RgbImage, left: number, top: number, size: number): RgbImage {
  const rows = Array.from({ length: size }, (_, y) => {
    const at = 3 * ((top + y) * width + left);
    return [...data.subarray(at, at + 3 * size)];
  });
  return { width: size, height: size, data: Uint8Array.from(rows.flat()) };
}

/** The pictures of make.py. */
export async function pictures(): Promise<{ person: RgbImage; image: RgbImage; maskImage: GrayImage }> {
  const person = await readImage(fixture("pipeline/hd-upperbody/person.png"));
  const within = (i: number, low: number, high: number) => i >= low && i < high;
  const mask = Uint8Array.from({ length: 64 * 64 }, (_, i) => {
    const [x, y] = [i % 64, Math.floor(i / 64)];
    if (within(x, 16, 40) && within(y, 24, 48)) return 255;
    return within(x, 8, 48) && within(y, 16, 56) ? 100 : 0;
  });
  return { person, image: crop(person, 32, 40, 64), maskImage: { width: 64, height: 64, data: mask } };
}
