import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openFusion } from "../../src/cli/fusion.ts";
import { SUBSETS } from "../../src/training/masters.ts";
import { filesIn, root, toile, tryOnArgs } from "./run.ts";

// A researcher's strategy as a file of their own: nothing of it is known to the library.

const STRATEGY = `import { Concat, Linear, Module, ops, selfOnly } from "toile";

class Gates extends Module {
  constructor(unet) {
    super();
    this.blocks = unet.transformerBlocks().map(({ norm1 }) => {
      const [channels] = norm1.weight.shape;
      return new Linear(channels, channels);
    });
  }
}

export default {
  name: "gated",
  module: (unet) => new Gates(unet),
  fuse({ garments, module }) {
    const dressed = new Concat(...garments.map(({ tokens }) => tokens));
    return {
      selfAttention(block, tokens) {
        const gate = ops.sigmoid(module.blocks[block.index].forward(tokens));
        const [plain, garment] = [selfOnly, dressed].map((fusion) => fusion.selfAttention(block, tokens));
        return ops.add(plain, ops.mul(gate, ops.sub(garment, plain)));
      },
      dispose: () => dressed.dispose(),
    };
  },
};
`;

const UNET = {
  block_out_channels: [8, 16],
  down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
  up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
  ...{ layers_per_block: 1, attention_head_dim: 2, cross_attention_dim: 32, norm_num_groups: 4 },
};

let folder: string;
const at = (name: string) => join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "toile-test-"));
  writeFileSync(at("gated.mjs"), STRATEGY);
  writeFileSync(at("unet.json"), JSON.stringify(UNET));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const train = (out: string, ...more: string[]) => {
  const small = ["--drawn", "2", "--width", "64", "--height", "64", "--train_batch_size", "1", "--unet_config", at("unet.json")]; // prettier-ignore
  return toile(["train", ...small, "--output_dir", at(out), "--learning_rate", "1e-2", "--fusion", at("gated.mjs"), ...more]); // prettier-ignore
};
const weights = (out: string, step: number, network = "fusion") =>
  readFileSync(at(`${out}/checkpoint-${step}/${network}/diffusion_pytorch_model.safetensors`));
describe("a fusion strategy in a file", () => {
  test("trains, goes on from its checkpoint with the same bits, and dresses a person", () => {
    const whole = train("whole", "--max_train_steps", "2", "--checkpointing_steps", "1");
    expect([whole.code, whole.out]).toEqual([0, ""]);
    const config: unknown = JSON.parse(readFileSync(at("whole/checkpoint-2/fusion/config.json"), "utf8"));
    expect(config).toEqual({ _class_name: "FusionStrategy", name: "gated" });
    expect(weights("whole", 1)).not.toEqual(weights("whole", 2));

    cpSync(at("whole/checkpoint-1"), at("parts/checkpoint-1"), { recursive: true });
    const resumed = train("parts", "--max_train_steps", "2", "--resume_from_checkpoint", "latest");
    expect([resumed.code, resumed.err]).toEqual([0, expect.stringContaining("going on from checkpoint-1")]);
    for (const network of ["fusion", "unet_vton", "unet_garm"])
      expect(weights("parts", 2, network)).toEqual(weights("whole", 2, network));
    const other = train("parts", "--max_train_steps", "3", "--resume_from_checkpoint", "latest", "--fusion", "concat");
    expect([other.code, other.err]).toEqual([
      1,
      expect.stringContaining('its fusion is "gated", this run has "concat"'),
    ]);

    const out = at("dressed");
    const trained = { checkpoints: join(root, "weights"), unets: at("whole/checkpoint-2"), height: "96" };
    const watched = { attention: join(out, "maps"), "attention-points": "30,40 31,60" };
    const ran = toile(tryOnArgs(out, { ...trained, ...watched, fusion: at("gated.mjs") }));
    expect(ran).toMatchObject({ code: 0, err: "" });
    const names = ["attention.json", "match.png", "point-1.png", "point-2.png", "read.png", "share.png"];
    expect(filesIn(join(out, "maps"))).toEqual(names);
    const summary = JSON.parse(readFileSync(join(out, "maps/attention.json"), "utf8")) as Record<string, unknown>[];
    expect(summary.map(({ block, pass }) => `${String(block)} ${String(pass)}`).join()).toBe(
      "0 0,1 0,2 0,3 0,0 1,1 1,2 1,3 1",
    );
    expect(readFileSync(join(out, "out_hd_0.png")).toString("latin1")).toContain('"fusion":"gated.mjs"');
  });

  test("without weights of its own cannot be trained alone", () => {
    expect(train("nothing", "--train", "strategy", "--fusion", "none")).toMatchObject({
      code: 2,
      err: expect.stringContaining('the fusion "none" has no weights of its own') as string,
    });
  });
});

test.each([
  ["export const x = 1;", "file.mjs: does not export a fusion strategy by default"],
  ["export default { name: '', fuse() {} };", "does not export a fusion strategy by default"],
  ["export default {", "file.mjs: cannot be imported: "],
  [undefined, "file.mjs: no such file"],
])("a file that holds %s is refused", async (content, says) => {
  const file = join(mkdtempSync(at("file-")), "file.mjs");
  if (content !== undefined) writeFileSync(file, content);
  await expect(openFusion(file)).rejects.toThrow(says);
});

test("a further garment is category:file", () => {
  const refused = toile([...tryOnArgs(at("two")), "--more-garment", "lowerbody:x.png", "--more-garment", "hat"]);
  expect([refused.code, refused.err]).toEqual([2, expect.stringMatching(/--more-garment .* is not category:file/)]);
});

test("places of --attention-points lie on the result", () => {
  const refused = (more: string[]) => toile([...tryOnArgs(at("no")), ...more]).err;
  expect(refused(["--attention-points", "1,2"])).toContain('--attention-points "1,2" needs --attention');
  const outside = ["--attention", at("maps"), "--attention-points", "3,4 64,0"];
  expect(refused(outside)).toContain('--attention-points "3,4 64,0" leaves the result of 64x64');
  expect(refused(["--attention", at("maps"), "--attention-points", "3;4"])).toContain("is not a list of places");
});

test("--train strategy moves the strategy's own weights alone", () => {
  const names = [
    "fusion.blocks.0.weight",
    "unet_vton.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k.weight",
  ];
  const moved = Object.values(SUBSETS).map((moves) => names.map(moves));
  expect(moved).toEqual([[true, true], [true, true], [true, true], [true, false]]); // prettier-ignore
});
