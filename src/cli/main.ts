#!/usr/bin/env node
import { Command } from "commander";
import { SCHEDULER_NAMES } from "../schedulers/names.ts";
import { EXIT, explain, UsageError, type ExitCode } from "./errors.ts";
import { packageInfo } from "../node/package.ts";
import { flushStderr, say } from "./stderr.ts";
import type { AblateArguments } from "./ablate.ts";
import type { DataArguments } from "./data.ts";
import type { EvaluateArguments } from "./evaluate.ts";
import type { MaskArguments } from "./mask.ts";
import { addTrain, addTrainVae, givenTo } from "./train_commands.ts";
import type { TryOnArguments } from "./try-on.ts";
import type { TuneArguments } from "./tune.ts";

interface DoctorArguments {
  readonly json?: boolean;
  readonly memory?: readonly string[];
}

// Each command loads its own modules: a mistake on the command line is answered before any of the library is read.
function program(): Command {
  const toile = new Command("toile")
    .description("Virtual try-on and diffusion models on WebGPU")
    .version(packageInfo().version)
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({ outputError: () => {} }); // `run` says it, on one line
  addTryOn(toile);
  addMask(toile);
  addEvaluate(toile);
  addEvaluateDrawn(toile);
  addAblate(toile);
  addData(toile);
  addTrainings(toile);
  addGenerate(toile);
  addConvert(toile);
  toile
    .command("info")
    .description("say what a checkpoint file holds, and whether it is sound")
    .argument("<file>", "safetensors, .bin, .pth or .ckpt")
    .option("--json", "print one JSON object instead of text")
    .action(async (file: string, options: { json?: boolean }) =>
      finish(await (await import("./info.ts")).info(file, options)),
    );
  toile
    .command("doctor")
    .description("show the WebGPU adapter and what the kernels make of it")
    .option("--memory <model size...>", "what a try-on would take of a GPU's memory instead: hd 768x1024")
    .option("--samples <n>", "with --memory: pictures to make (default: 1)")
    .option("--dtype <name>", "with --memory: auto, f32 or f16 (default: auto)")
    .option("--guidance-batch <n>", "with --memory: 2 or 1 (default: 2)")
    .option("--json", "print one JSON object instead of text")
    .action(async (options: DoctorArguments) => {
      if (options.memory) return finish(await (await import("./memory.ts")).memory(options.memory, { ...options }));
      const lone = Object.keys(options).find((name) => name !== "json");
      if (lone !== undefined)
        throw new UsageError(`--${lone === "guidanceBatch" ? "guidance-batch" : lone} needs --memory`);
      finish(await (await import("./doctor.ts")).doctor(options));
    });
  toile
    .command("tune")
    .description("time the forms of each kernel on this machine, and keep the fastest for later runs")
    .option("--size <WxH>", "size of the pictures to tune for, in multiples of 8", "768x1024")
    .option("--samples <n>", "pictures to tune for", "1")
    .option(
      "--guidance-batch <n>",
      "both halves of the guidance at once (2), or one by one and without guidance (1)",
      "2",
    )
    .option("--dtype <name>", "auto, f32 or f16", "auto")
    .option("--json", "print one JSON object instead of text")
    .addHelpText(
      "after",
      "\nThe choices are kept below $XDG_CACHE_HOME/toile (~/.cache/toile); the path is printed at the end. Delete it to forget them.",
    )
    .action(async (options: TuneArguments) => finish(await (await import("./tune.ts")).tune(options)));
  return toile;
}

function addTrainings(toile: Command): void {
  addTrain(toile).action(async (options, command: Command) =>
    finish(await (await import("./train.ts")).trainTryOn(options, givenTo(command))),
  );
  addTrainVae(toile).action(async (options, command: Command) =>
    finish(await (await import("./train-vae.ts")).trainVae(options, givenTo(command))),
  );
}

function addGenerate(toile: Command): void {
  toile
    .command("generate")
    .description("make pictures from text, or change one, with Stable Diffusion 1")
    .option("--prompt <text>", "what the picture should show; 77 tokens are read")
    .option("--negative-prompt <text>", "what it should not show", "")
    .option("--checkpoints <path>", "folder in diffusers' layout, or a single .safetensors or .ckpt file")
    .option("--image <file>", "picture to begin with")
    .option("--mask <file>", "with --image: white where it may be painted anew")
    .option("--strength <x>", "with --image: how much of it is forgotten, 0 to 1 (default: 0.8; 1 with --mask)")
    .option("--lora <file[:scale]>", "LoRA file, as often as you like", collect, [])
    .option("--tokenizer <dir>", "for a single file: vocab.json and merges.txt (default: CLIP's, which ships)")
    .option("--extract-ema", "of a single file: take the UNet's moving averages")
    .option("--steps <n>", "denoising steps", "50")
    .option("--scale <x>", "how strongly the picture follows the prompt; up to 1: no guidance, half the time", "7.5")
    .option("--samples <n>", "pictures to make", "1")
    .option("--seed <n>", "-1: draw one, and say which", "-1")
    .option("--scheduler <name>", `${Object.keys(SCHEDULER_NAMES).join(", ")} (default: the checkpoint's)`)
    .option("--width <pixels>", "multiple of 8 (default: the picture's, or the checkpoint's own)")
    .option("--height <pixels>", "multiple of 8")
    .option("--dtype <name>", "auto, f32 or f16", "auto")
    .option("--out <dir>", "folder for the results", "out")
    .option("--json", "print one JSON object instead of text")
    .action(async (options: Record<string, unknown>) =>
      finish(await (await import("./generate.ts")).generate(options)),
    );
}

const collect = (value: string, before: readonly string[]): string[] => [...before, value];

function addConvert(toile: Command): void {
  toile
    .command("convert")
    .description("turn a single Stable Diffusion file into diffusers' layout, or such a folder into a single file")
    .argument("<in>", "single .safetensors or .ckpt file, or a folder with model_index.json")
    .argument("<out>", "folder to make, or a .safetensors file")
    .option("--dtype <name>", "keep, f16 or f32", "keep")
    .option("--extract-ema", "of a single file: take the UNet's moving averages")
    .option("--tokenizer <dir>", "for the folder: vocab.json and merges.txt (default: CLIP's, which ships)")
    .option("--json", "print one JSON object instead of text")
    .action(async (from: string, to: string, options: Record<string, unknown>) =>
      finish(await (await import("./convert.ts")).convert(from, to, options)),
    );
}

function addTryOn(toile: Command): void {
  toile
    .command("try-on")
    .description("dress the person of one picture in the garment of another")
    .option("--person <file>", "picture of a person (png, jpeg or webp)")
    .option("--garment <file>", "picture of a garment")
    .option("--mask <file>", "where the garment may go: white on black, any size (default: generated)")
    .option("--labels <file>", "make the mask from this label map: a PNG whose pixels are labels 0 to 18")
    .option("--keypoints <file>", "and these key points: JSON, in pixels of 384x512")
    .option("--mask-combine <how>", "a given mask with the generated one: replace, add or subtract", "replace")
    .option(
      "--mask-mode <name>",
      "generated mask: reference, or generous (hides the old garment's outline)",
      "reference",
    )
    .option("--mask-grow <pixels>", "widen a generated mask, in pixels of 384x512", "0")
    .option("--mask-protect <parts>", "of face,hands,shoes,hair,bag: keep every pixel")
    .option("--mask-expose <parts>", "of face,hands,shoes,hair,bag: may be painted over")
    .option("--fit <mode>", "a picture of another shape: pad, crop around the mask, or stretch", "pad")
    .option("--paste-back", "also put the results into the person's own picture")
    .option("--trim-garment", "cut a garment on a plain background out of its margins")
    .option("--debug <dir>", "write key points, skeleton, labels, mask and masked person there")
    .option("--model <name>", "hd: half-body model, tops only; dc: full-body model", "hd")
    .option("--category <name>", "upperbody, lowerbody or dress", "upperbody")
    .option("--checkpoints <dir>", "folder with ootd/ and clip-vit-large-patch14/ (default: the small one shipped)")
    .option("--unets <dir>", "a checkpoint-N of `toile train`: its UNets instead of those of --checkpoints")
    .option("--ema", "of --unets: the moving averages")
    .option("--fusion <name|file>", "how the garment enters: a name, or a file that exports a strategy", "concat")
    .option("--more-garment <category:file>", "a further garment, worn at once; as often as you like", collect, [])
    .option("--width <pixels>", "width of the result, a multiple of 8", "768")
    .option("--height <pixels>", "height of the result, a multiple of 8", "1024")
    .option("--steps <n>", "denoising steps", "20")
    .option("--scale <x>", "how strongly the result follows the garment; below 1: no guidance, half the time", "2.0")
    .option("--samples <n>", "pictures to make", "1")
    .option("--seed <n>", "-1: draw one, and say which", "-1")
    .option("--scheduler <name>", Object.keys(SCHEDULER_NAMES).join(", "), "unipc")
    .option("--dtype <name>", "auto, f32 or f16", "auto")
    .option(
      "--offload <when>",
      "load networks when needed and free them after: auto (what fits), never, always",
      "auto",
    )
    .option("--memory <GB>", "what the GPU has for this, for auto (default: 8)")
    .option("--guidance-batch <n>", "both halves of the guidance at once (2), one by one (1), or auto", "auto")
    .option("--noise <file>", "safetensors file with `noise` [samples, 4, height/8, width/8] to begin with")
    .option("--attention <dir>", "write heat maps of which garment pixels each person pixel reads, by block and step")
    .option("--attention-points <list>", 'with --attention: places on the result, in pixels: "60,80 90,120"')
    .option("--trace <file>", "write every intermediate tensor there (safetensors, float32)")
    .option("--no-repaint", "do not put the person's own latent back outside the mask")
    .option("--out <dir>", "folder for the results", "out")
    .option("--json", "print one JSON object instead of text")
    .action(async (options: TryOnArguments) => finish(await (await import("./try-on.ts")).tryOn(options)));
}

function addMask(toile: Command): void {
  toile
    .command("mask")
    .description("make the mask of where a garment may go, from a photo, or from a label map and key points")
    .option("--person <file>", "photo; needs humanparsing/ and openpose/ in the folder of --checkpoints")
    .option("--labels <file>", "PNG whose pixels are labels 0 to 18, grey or in the usual palette")
    .option("--keypoints <file>", 'JSON {"pose_keypoints_2d": [[x, y], … 18]} in pixels of 384x512')
    .option("--model <name>", "hd or dc: arms are drawn wider for hd", "hd")
    .option("--category <name>", "upperbody, lowerbody or dress", "upperbody")
    .option("--mask-mode <name>", "reference: as published; generous: hides the old garment's outline", "reference")
    .option(
      "--mask-grow <pixels>",
      "widen the mask, in pixels of the label map (384x512 from a photo); hat, face, hands, shoes and bag stay out",
      "0",
    )
    .option("--mask-protect <parts>", "of face,hands,shoes,hair,bag: keep every pixel")
    .option("--mask-expose <parts>", "of face,hands,shoes,hair,bag: may be painted over")
    .option("--fit <mode>", "a photo of another shape than 3:4: pad, crop or stretch", "pad")
    .option("--checkpoints <dir>", "folder with the networks (default: the small one shipped)")
    .option("--debug <dir>", "write key points, skeleton, labels and mask there")
    .option("--out <dir>", "folder for mask.png", "out")
    .option("--json", "print one JSON object instead of text")
    .action(async (options: MaskArguments) => finish(await (await import("./mask.ts")).mask(options)));
}

function addEvaluate(toile: Command): void {
  toile
    .command("evaluate")
    .description("measure a folder of generated pictures as published tables are; goes on where it was interrupted")
    .option("--generated <dir>", "folder of generated pictures")
    .option("--reference <dir>", "folder of the photos of the same people")
    .option("--protocol <name>", "whose tables: ladi-vton (OOTDiffusion's too) or catvton")
    .option("--order <name>", "paired: the garment of the photo itself; unpaired: another one", "paired")
    .option("--lpips <file>", "torchvision's weights of the network: AlexNet, VGG-16 or SqueezeNet 1.1")
    .option("--lpips-weights <file>", "their weighting: alex.pth, vgg.pth or squeeze.pth of the package lpips")
    .option("--lpips-net <name>", "alex, vgg or squeeze (default: the protocol's)")
    .option("--inception <file>", "pt_inception-2015-12-05-6726825d.pth, for FID and KID")
    .option("--out <dir>", "folder for metrics.json, report.html and what was measured so far", "evaluation")
    .option("--json", "print the JSON object instead of text")
    .action(async (options: EvaluateArguments) =>
      finish(await (await import("./evaluate.ts")).evaluateFolder(options)),
    );
}

function addEvaluateDrawn(toile: Command): void {
  toile
    .command("evaluate-drawn")
    .description("measure a try-on model on drawn people that no training has seen")
    .option("--pairs <n>", "how many", "200")
    .option("--control <n>", "of them again in a garment of another pair, as a control (default: all)")
    .option("--pairing <name>", "garments: unpaired (not the one that is worn), paired or mixed", "unpaired")
    .option("--model <name>", "hd: half figures in tops; dc: whole figures, all categories", "hd")
    .option("--checkpoints <dir>", "folder with ootd/ and clip-vit-large-patch14/ (default: the small one shipped)")
    .option("--unets <dir>", "a checkpoint-N of `toile train`: its UNets instead of those of --checkpoints")
    .option("--ema", "of --unets: the moving averages")
    .option("--width <pixels>", "a multiple of 8", "72")
    .option("--height <pixels>", "a multiple of 8", "96")
    .option("--steps <n>", "denoising steps", "1")
    .option("--scale <x>", "how strongly the result follows the garment", "1.0")
    .option("--seed <n>", "of the noise", "0")
    .option("--out <dir>", "folder for metrics.json and pictures.png", "evaluation-drawn")
    .option("--json", "print the JSON object instead of text")
    .action(async (options: EvaluateArguments) =>
      finish(await (await import("./evaluate-drawn.ts")).evaluateDrawn(options)),
    );
}

function addAblate(toile: Command): void {
  toile
    .command("ablate")
    .description("dress people by several fusions, guidance scales and steps, on one page; goes on where it stopped")
    .option("--fusion <list>", "names, or files that export a strategy, with commas between", "concat,none")
    .option("--scale <list>", "guidance scales", "2.0")
    .option("--steps <list>", "denoising steps", "20")
    .option("--drawn <n>", "that many held-out drawn people")
    .option("--dataset-dir <dir>", "or the test pairs of a set (VITON-HD, Dress Code)")
    .option("--pairs <n>", "at most so many of them (default: all that are drawn, 8 of a set)")
    .option("--model <name>", "hd or dc", "hd")
    .option("--checkpoints <dir>", "folder with the networks (default: the small one shipped)")
    .option("--unets <dir>", "a checkpoint-N of `toile train`: its UNets instead of those of --checkpoints")
    .option("--ema", "of --unets: the moving averages")
    .option("--width <pixels>", "width of the pictures, a multiple of 8", "384")
    .option("--height <pixels>", "height of the pictures, a multiple of 8", "512")
    .option("--seed <n>", "of the noise, the same for all", "0")
    .option("--scheduler <name>", Object.keys(SCHEDULER_NAMES).join(", "), "unipc")
    .option("--dtype <name>", "auto, f32 or f16", "auto")
    .option("--out <dir>", "folder for report.html, results.json, pictures and what was made so far", "ablation")
    .option("--json", "print the JSON object instead of text")
    .action(async (options: AblateArguments) => finish(await (await import("./ablate.ts")).ablate(options)));
}

function addData(toile: Command): void {
  const data = toile.command("data").description("draw a data set, or check one");
  data
    .command("draw")
    .description("draw people and garments as a data set in Dress Code's folders")
    .option("--out <dir>", "folder for the set")
    .option("--pairs <n>", "people to draw, each with two garments", "1000")
    .option("--test <n>", "how many of them, the last ones, are for testing (default: a tenth)")
    .option("--seed <n>", "the same seed draws the same set", "0")
    .option("--width <pixels>", "width of each picture", "384")
    .option("--height <pixels>", "height of each picture", "512")
    .option("--categories <list>", "of upperbody,lowerbody,dress", "upperbody,lowerbody,dress")
    .option("--framing <name>", "whole people, or half: head to thighs, tops only", "whole")
    .option("--model <name>", "masks as for the hd or the dc model", "dc")
    .option("--format <name>", "of the pictures: jpg or png", "jpg")
    .option("--workers <n>", "threads; 0: none (default: all cores but one)")
    .option("--json", "print one JSON object instead of text")
    .action(async (options: DataArguments) => finish(await (await import("./data.ts")).draw(options)));
  data
    .command("check")
    .description("count the pairs of a data set (VITON-HD, Dress Code), and name what is missing, misnamed or damaged")
    .argument("<dir>", "the set's folder")
    .option("--no-decode", "do not decode the pictures: look at names alone")
    .option("--workers <n>", "threads; 0: none (default: all cores but one)")
    .option("--json", "print one JSON object instead of text")
    .action(async (dir: string, options: DataArguments) =>
      finish(await (await import("./data.ts")).check(dir, options)),
    );
}

/** Ends the process once what was written has gone out; Dawn's threads would keep it alive. */
async function finish(code: ExitCode): Promise<void> {
  await new Promise<void>((resolve) => void process.stdout.write("", () => resolve()));
  await flushStderr();
  process.exit(code);
}

async function run(): Promise<void> {
  process.stdout.on("error", (error: NodeJS.ErrnoException) =>
    process.exit(error.code === "EPIPE" ? EXIT.ok : EXIT.failed),
  );
  process.on("uncaughtException", (error) => void fail(error)); // of a callback or a promise that nobody waits for
  try {
    await program().parseAsync();
  } catch (error) {
    await fail(error);
  }
}

async function fail(error: unknown): Promise<void> {
  const { code, line } = explain(error);
  if (line !== undefined) say(`toile: ${line}`);
  await finish(code);
}

await run();
