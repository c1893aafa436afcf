import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fixture } from "../helpers.ts";
import { scratch, toile } from "./run.ts";

const ootd = "checkpoints/ootd";
describe("says what it holds", () => {
  test.for([
    [
      `${ootd}/ootd_hd/checkpoint-36000/unet_vton/diffusion_pytorch_model.safetensors`,
      "unet",
      /UNet with 8 input channels/,
    ],
    [
      `${ootd}/ootd_dc/checkpoint-36000/unet_garm/diffusion_pytorch_model.safetensors`,
      "unet",
      /UNet with 4 input channels/,
    ],
    [`${ootd}/vae/diffusion_pytorch_model.safetensors`, "vae", /AutoencoderKL.*4 latent channels/],
    [`${ootd}/text_encoder/model.safetensors`, "clip-text", /CLIP text model/],
    ["checkpoints/clip-vit-large-patch14/model.safetensors", "clip-vision", /CLIP vision model/],
    ["pickle/flat.zip.pth", "unknown", /tensors of no kind known/],
    ["pickle/flat.legacy.pth", "unknown", /tensors of no kind known/],
  ] as const)("%s", ([file, kind, what]) => {
    const { code, out, err } = toile(["info", fixture(file), "--json"]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const found = JSON.parse(out) as { guess: unknown; tensors: number; parameters: number };
    expect(found.guess).toMatchObject({ kind, what: expect.stringMatching(what) });
    expect(found.tensors).toBeGreaterThan(0);
    expect(found.parameters).toBeGreaterThan(0);
  });

  test("as text", () => {
    const { out } = toile(["info", fixture(`${ootd}/vae/diffusion_pytorch_model.safetensors`)]);
    expect(out).toMatch(/^tensors {5}244$/m);
    expect(out).toMatch(/^types {7}F32$/m);
  });
});

test("control characters of a hostile file do not reach the terminal", () => {
  const file = join(scratch(), "a.safetensors");
  const header = Buffer.from(JSON.stringify({ __metadata__: { "\x1b[2J": "\x1b]0;mine\x07\n" } }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(file, Buffer.concat([length, header]));
  const { out } = toile(["info", file]);
  // eslint-disable-next-line no-control-regex
  expect(out).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f]/);
});

test("a refusal is exactly one line and exit code 1, for every kind of broken file", () => {
  const cases = JSON.parse(readFileSync(fixture("safetensors_cases.json"), "utf8")) as {
    name: string;
    required: string;
    bytes_base64: string;
  }[];
  const file = join(scratch(), "case.safetensors");
  const some = cases.filter((_, i) => i % 8 === 0); // the reader's own tests go through all of them
  for (const { name, required, bytes_base64 } of some) {
    writeFileSync(file, Buffer.from(bytes_base64, "base64"));
    const { code, out, err } = toile(["info", file]);
    const expected =
      required === "accept" ? { code: 0, lines: 0, printed: true } : { code: 1, lines: 1, printed: false };
    expect({ name, code, lines: err.split("\n").length - 1, printed: out !== "" }).toEqual({ name, ...expected });
  }
});
