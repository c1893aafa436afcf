import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root, scratch } from "../cli/run.ts";

test("the packed package holds what it needs, no more, and works from another project", () => {
  const folder = scratch();
  const packed = execFileSync("npm", ["pack", "--json", "--silent", "--pack-destination", folder], {
    encoding: "utf8",
    cwd: root,
  });
  const [{ filename, files }] = JSON.parse(packed) as [{ filename: string; files: { path: string }[] }];
  const tops = new Set(files.map(({ path }) => path.replace(/\/.*/, "")));
  expect([...tops].sort()).toEqual(["LICENSE", "README.md", "dist", "examples", "package.json", "weights"]);

  const modules = join(folder, "node_modules");
  const toile = join(modules, "toile");
  mkdirSync(toile, { recursive: true });
  execFileSync("tar", ["xzf", join(folder, filename), "-C", toile, "--strip-components", "1"]);
  for (const name of ["commander", "zod", "sharp", "webgpu", "@huggingface"])
    symlinkSync(join(root, "node_modules", name), join(modules, name));
  const program = `
    import { DeviceError, Tensor, TryOnPipeline, ops } from "toile";
    import { readImage, requestDevice, shipped } from "toile/node";
    const device = await requestDevice();
    const two = Tensor.from(device, [1, 2], [2]);
    const sum = await ops.add(two, two).data();
    const pipeline = await TryOnPipeline.fromPretrained(shipped("weights"), { device, model: "hd" });
    await pipeline.dispose();
    const { width } = await readImage(shipped("examples/images/astronaut.png"));
    console.log(JSON.stringify([...sum]), typeof DeviceError, pipeline.model, width > 0);
    device.destroy();`;
  writeFileSync(join(folder, "program.mjs"), program);
  const run = (args: string[]) => spawnSync(process.execPath, args, { encoding: "utf8", cwd: folder });
  expect(run(["program.mjs"])).toMatchObject({ status: 0, stdout: "[2,4] function hd true\n" });
  expect(
    run([join(toile, "dist/cli.js"), "info", join(toile, "weights/ootd/vae/diffusion_pytorch_model.safetensors")]),
  ).toMatchObject({
    status: 0,
    stderr: "",
    stdout: expect.stringContaining("AutoencoderKL"),
  });
});
