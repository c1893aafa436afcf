import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { deflateSync, crc32 } from "node:zlib";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { encodeSafetensors } from "../../src/checkpoint/write.ts";
import { fixture } from "../helpers.ts";
import { filesIn, scratch, toile, tryOnArgs, type Ran } from "./run.ts";

/** One line that says what is wrong, nothing on stdout, nothing written. */
function expectRefusal(ran: Ran, code: 1 | 2, says: RegExp, folder: string): void {
  expect(ran.err).toMatch(says);
  expect(ran.err.trimEnd().split("\n")).toHaveLength(1);
  expect(ran).toMatchObject({ code, out: "" });
  expect(filesIn(folder)).toEqual([]);
}

describe("arguments", () => {
  test.for<[string, Record<string, string | true | undefined>, RegExp]>([
    ["no person", { person: undefined }, /--person is needed/],
    [
      "a width that 8 does not divide",
      { width: "770" },
      /--width "770" is not divisible by 8; the nearest size is 768/,
    ],
    ["a height that 8 does not divide", { height: "1020" }, /the nearest size is 1024/],
    [
      "both",
      { width: "100", height: "50" },
      /nearest size is 104; --height "50" is not divisible by 8; the nearest size is 64/,
    ],
    ["a width below the smallest", { width: "8" }, /--width "8" is less than 64; the nearest size is 64/],
    [
      "more steps than a scheduler has",
      { scheduler: "lcm", steps: "51" },
      /--steps "51": .*original_inference_steps is 50/,
    ],
    ["a trace in place of a result", { trace: "OUT/out_hd_0.png" }, /--trace ".*" would take the place of .*out_hd_0/],
    ["a trace in place of --out", { trace: "OUT" }, /--trace ".*out" would take the place of/],
    [
      "a trace in place of a picture",
      { trace: fixture("pipeline/hd-upperbody/person.png") },
      /would take the place of/,
    ],
    ["a size that is no number", { width: "wide" }, /--width "wide" is not a whole number/],
    ["no steps", { steps: "0" }, /--steps "0" is not between 1 and 1000/],
    ["a negative scale", { scale: "-1" }, /--scale "-1" is not between/],
    ["half a sample", { samples: "1.5" }, /--samples "1.5" is not a whole number/],
    ["an unknown model", { model: "xl" }, /--model "xl" is not one of hd, dc/],
    ["an unknown category", { category: "hat" }, /--category "hat" is not one of upperbody/],
    ["an unknown scheduler", { scheduler: "plms" }, /--scheduler "plms" is not one of unipc/],
    ["a combination with no mask", { mask: undefined, "mask-combine": "add" }, /--mask-combine "add" needs --mask/],
    ["a seed below -1", { seed: "-2" }, /--seed "-2" is not between/],
    ["hd with a dress", { category: "dress" }, /--category "dress" needs --model dc/],
    ["an unknown option", { colour: "red" }, /unknown option '--colour'/],
  ])("%s", ([, changes, says]) => {
    const out = join(scratch(), "out");
    const trace = typeof changes["trace"] === "string" ? { trace: changes["trace"].replace("OUT", out) } : {};
    const ran = toile(tryOnArgs(out, { ...changes, ...trace }));
    expectRefusal(ran, 2, says, out);
  });

  test("no mask, and no networks to make one with", () => {
    const out = join(scratch(), "out");
    const ran = toile(tryOnArgs(out, { mask: undefined }));
    expectRefusal(
      ran,
      1,
      /humanparsing\/parsing_atr\.onnx is missing; without it `toile try-on` works with --mask/,
      out,
    );
  });

  test.for([["tryon"], ["info"], ["info", "--nothing", "x"], []])("toile %s", (args) => {
    const ran = toile(args);
    expect(ran).toMatchObject({ code: 2, out: "" });
  });

  test("--help and --version are no mistakes", () => {
    expect(toile(["try-on", "--help"])).toMatchObject({ code: 0, err: "" });
    expect(toile(["--version"]).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test("a mistake is answered before the library is read", () => {
    expect(toile(["info", "--nothing"]).ms).toBeLessThan(3000); // 0.1 s on an idle machine
  });
});

/** A PNG whose header promises a size that its few bytes cannot hold. */
function pngBomb(side: number): Buffer {
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header.set([1, 0, 0, 0, 0], 8); // one bit a pixel, grey
  const rows = deflateSync(Buffer.alloc((side / 8 + 1) * side));
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    chunk("IHDR", header),
    chunk("IDAT", rows),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

describe("pictures", () => {
  const whole = readFileSync(fixture("pipeline/hd-upperbody/person.png"));
  test.for<[string, Buffer | undefined, RegExp]>([
    ["missing", undefined, /picture\.png: .*no such file/],
    ["empty", Buffer.alloc(0), /picture\.png: the file is empty/],
    ["truncated", whole.subarray(0, whole.length / 2), /picture\.png: cannot be decoded/],
    ["of another kind", Buffer.from("<svg xmlns='http://www.w3.org/2000/svg'/>"), /picture\.png: is not a .*picture/],
    ["of noise", Buffer.alloc(1000, 7), /picture\.png: is not a .*picture/],
    ["of 20,000 × 20,000 pixels", pngBomb(20_000), /picture\.png: .*50 million/],
  ])("%s", ([, bytes, says]) => {
    const folder = scratch();
    const [file, out] = [join(folder, "picture.png"), join(folder, "out")];
    if (bytes) writeFileSync(file, bytes);
    for (const role of ["person", "garment", "mask"])
      expectRefusal(toile(tryOnArgs(out, { [role]: file })), 1, says, out);
  });

  test("a folder instead of a picture", () => {
    const folder = scratch();
    expectRefusal(toile(tryOnArgs(join(folder, "out"), { person: folder })), 1, /is a folder/, folder);
  });

  test("a mask that is all black", async () => {
    const folder = scratch();
    const [file, out] = [join(folder, "mask.png"), join(folder, "out")];
    await sharp({ create: { width: 64, height: 64, channels: 3, background: "#000" } })
      .png()
      .toFile(file);
    expectRefusal(toile(tryOnArgs(out, { mask: file })), 1, /mask\.png: the mask is all black/, out);
  });
});

describe("places are tried before anything is read", () => {
  const none = { person: "/nowhere/person.png" }; // would be complained about next
  /** Folders that cannot be written to, by their path and what is said about them. */
  const bad = (folder: string): [string, RegExp][] => {
    writeFileSync(join(folder, "file"), "mine");
    const places: [string, RegExp][] = [
      [join(folder, "file"), /is not a folder/],
      [join(folder, "file/below"), /is not a folder/],
      [join(folder, "x".repeat(300)), /the name is too long/],
    ];
    if (process.platform === "linux") places.push(["/proc/x/y", /cannot be written: \/proc/]);
    if (process.getuid?.() !== 0) {
      mkdirSync(join(folder, "locked"), { mode: 0o555 });
      places.push([join(folder, "locked/x"), /permission denied/]);
    }
    return places;
  };
  const labels = ["mask", "--labels", fixture("masks/00.parse.png"), "--category", "lowerbody", "--model", "dc"];

  test.for(["out", "debug"])("--%s of try-on and of mask", (option) => {
    const folder = scratch();
    for (const [path, says] of bad(folder)) {
      const own = option === "out" ? { out: path } : { out: join(folder, "out"), debug: path };
      const args = Object.entries(own).flatMap(([name, value]) => [`--${name}`, value]);
      for (const ran of [toile(tryOnArgs("", { ...none, ...own })), toile([...labels, ...args])]) {
        expect(ran.err).toMatch(says);
        expect(ran.err.trimEnd().split("\n")).toHaveLength(1);
        expect(ran).toMatchObject({ code: 1, out: "" });
      }
    }
    expect(filesIn(folder)).toEqual(["file"]);
  });

  test("--trace", () => {
    const folder = scratch();
    const refusal = /^toile: [^\n]+: (its folder does not exist|cannot be written: [^\n]+|.+ is not a folder)\n$/;
    for (const [path] of bad(folder)) {
      const ran = toile(tryOnArgs(join(folder, "out"), { ...none, trace: join(path, "t") }));
      expect(ran).toMatchObject({ code: 1, out: "", err: expect.stringMatching(refusal) });
    }
    const missing = toile(tryOnArgs(join(folder, "out"), { ...none, trace: join(folder, "none/t.safetensors") }));
    expect(missing).toMatchObject({ code: 1, err: expect.stringMatching(/its folder does not exist\n$/) });
    expect(filesIn(folder)).toEqual(["file"]);
  });

  test("a folder where a result is to be written", () => {
    const out = scratch();
    mkdirSync(join(out, "out_hd_0.png"));
    expectRefusal(toile(tryOnArgs(out, none)), 1, /out_hd_0\.png: is a folder/, out);
  });
});

describe("noise", () => {
  const noise = (name: string, shape: number[]) => {
    const size = shape.reduce((product, n) => product * n, 1);
    return encodeSafetensors([{ name, dtype: "F32", shape, data: new Float32Array(size) }]);
  };
  test.for<[string, Uint8Array, RegExp]>([
    ["under another name", noise("latents", [1, 4, 8, 8]), /there is no tensor named "noise"/],
    ["of another shape", noise("noise", [1, 4, 8, 16]), /noise is \[1, 4, 8, 16\], \[1, 4, 8, 8\] is needed/],
    ["no safetensors", new Uint8Array(40).fill(255), /noise\.safetensors: not a safetensors file/],
  ])("%s", ([, bytes, says]) => {
    const folder = scratch();
    const [file, out] = [join(folder, "noise.safetensors"), join(folder, "out")];
    writeFileSync(file, bytes);
    expectRefusal(toile(tryOnArgs(out, { noise: file })), 1, says, out);
  });
});

describe("checkpoints", () => {
  const unet = "ootd/ootd_hd/checkpoint-36000/unet_vton/diffusion_pytorch_model.safetensors";
  /** A copy of the small checkpoint, changed. */
  const changed = (folder: string, change: (checkpoints: string) => void): string => {
    const checkpoints = join(folder, "checkpoints");
    cpSync(fixture("checkpoints"), checkpoints, { recursive: true });
    change(checkpoints);
    return checkpoints;
  };
  test.for<[string, (checkpoints: string) => void, RegExp]>([
    [
      "without one file",
      (at) => rmSync(join(at, unet)),
      /no weights at ootd\/ootd_hd\/.*unet_vton\/diffusion_pytorch_model/,
    ],
    ["without a configuration", (at) => rmSync(join(at, "ootd/vae/config.json")), /ootd\/vae\/config\.json is missing/],
    [
      "with a foreign file",
      (at) => copyFileSync(join(at, "ootd/vae/diffusion_pytorch_model.safetensors"), join(at, unet)),
      /unet_vton: .*missing.*unexpected.*diffusion_pytorch_model\.safetensors/,
    ],
    [
      "with the garment's UNet in place of the try-on's",
      (at) => copyFileSync(join(at, unet.replace("vton", "garm")), join(at, unet)),
      /conv_in\.weight: file \[16, 4, 3, 3\], model \[16, 8, 3, 3\]/,
    ],
    [
      "with a truncated file",
      (at) => writeFileSync(join(at, unet), readFileSync(join(at, unet)).subarray(0, 100_000)),
      /unet_vton\/diffusion_pytorch_model\.safetensors: /,
    ],
  ])("%s", ([, change, says]) => {
    const folder = scratch();
    const out = join(folder, "out");
    expectRefusal(toile(tryOnArgs(out, { checkpoints: changed(folder, change) })), 1, says, out);
  });

  test("no folder", () => {
    const out = join(scratch(), "out");
    expectRefusal(
      toile(tryOnArgs(out, { checkpoints: "/nowhere" })),
      1,
      /\/nowhere: no such folder of checkpoints; it should hold ootd\/.*clip-vit-large-patch14/,
      out,
    );
  });
});

test("no adapter: says what to install", () => {
  const out = join(scratch(), "out");
  const none = { VK_DRIVER_FILES: "/nonexistent", VK_ICD_FILENAMES: "/nonexistent" };
  expectRefusal(toile(tryOnArgs(out), none), 1, /no WebGPU adapter: .*mesa-vulkan-drivers/, out);
  expect(toile(["doctor"], none)).toMatchObject({ code: 1, err: expect.stringMatching(/no WebGPU adapter/) });
});
