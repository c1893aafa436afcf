import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import type { Device } from "../gpu/device.ts";
import type { DeviceFacts, DeviceLimits } from "../gpu/facts.ts";
import { attentionChoice, planAttention } from "../kernels/attention_plan.ts";
import { gemmChoice, planGemm } from "../kernels/gemm_plan.ts";
import { planReduce } from "../kernels/rows.ts";
import { adapterAdvice } from "../node/adapter.ts";
import { matmul } from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { DeviceError } from "../util/errors.ts";
import { adapterDevice } from "./device.ts";
import { EXIT, oneLine, type ExitCode } from "./errors.ts";
import { packageInfo } from "../node/package.ts";
import { say } from "./stderr.ts";

/** What `toile doctor --json` prints. */
interface Report {
  readonly ok: boolean;
  readonly versions: Readonly<Record<string, string>>;
  readonly platform: string;
  /** null: there is none, or it cannot be used; `problem` says why and `install` what to do. */
  readonly adapter: Pick<
    DeviceFacts,
    "name" | "vendor" | "architecture" | "description" | "isSoftware" | "subgroupSize"
  > | null;
  readonly features: readonly string[];
  readonly limits: DeviceLimits | null;
  /** The form in which each kernel runs on this device. */
  readonly kernels: Readonly<Record<string, string>>;
  readonly problem?: string;
  readonly install?: string;
}

/** `toile doctor`: what there is to compute on, and whether it computes. */
export async function doctor({ json = false }: { readonly json?: boolean }): Promise<ExitCode> {
  const report = await examine();
  if (json) process.stdout.write(`${JSON.stringify(report)}\n`);
  else process.stdout.write(text(report));
  if (report.ok) return EXIT.ok;
  say(`toile: ${report.problem}`);
  return EXIT.failed;
}

async function examine(): Promise<Report> {
  const platform = `${process.platform} ${process.arch}`;
  const versions = {
    toile: packageInfo().version,
    node: process.versions.node,
    webgpu: versionOf("webgpu"),
    sharp: versionOf("sharp"),
  };
  const nothing = { ok: false, versions, platform, adapter: null, features: [], limits: null, kernels: {} };
  let device: Device;
  try {
    device = await adapterDevice();
  } catch (error) {
    const problem = oneLine((error as Error).message);
    return { ...nothing, problem, ...(error instanceof DeviceError && { install: adapterAdvice() }) };
  }
  const { name, vendor, architecture, description, isSoftware, subgroupSize, features, limits } = device.facts;
  const adapter = { name, vendor, architecture, description, isSoftware, subgroupSize };
  const problem = await selfTest(device);
  return {
    ...{ ok: problem === undefined, versions, platform, adapter, features, limits, kernels: kernelForms(device) },
    ...(problem !== undefined && { problem }),
  };
}

/** Which form of each kernel the device runs in a step of usual size, or which forms where there are several. */
export function kernelForms({ facts, variants }: Pick<Device, "facts" | "variants">): Record<string, string> {
  const elem = facts.f16 ? "f16" : "f32";
  const distinct = (forms: readonly string[]) => [...new Set(forms)].join(", ");
  // of the UNet for 768 × 1024 pixels, as `toile tune` times them
  const products = [1, 9].map((taps) => {
    const problem = { elem, batches: 1, m: 1536, n4: 320, k4: 320, taps } as const;
    return planGemm(facts, problem, gemmChoice(variants, problem)).variant;
  });
  const heads = [40, 80, 160].map((headDim) => {
    const problem = { elem, headDim } as const;
    return planAttention(facts, problem, attentionChoice(variants, problem)).variant;
  });
  return {
    "matrix product, convolution": distinct(products),
    attention: distinct(heads),
    "group norm, layer norm, softmax": planReduce(facts, variants["reduce"]).variant,
    "element-wise, copies": "plain",
  };
}

/** Multiplies small whole numbers, where every device must be exact. @returns what is wrong, or undefined */
async function selfTest(device: Device): Promise<string | undefined> {
  const size = 24;
  const values = (step: number) => Float32Array.from({ length: size * size }, (_, i) => ((i * step) % 7) - 3);
  const [a, b] = [values(3), values(5)];
  try {
    const product = device.scope(() =>
      matmul(Tensor.from(device, a, [size, size]), Tensor.from(device, b, [size, size])),
    );
    const wrong = (await product.data()).findIndex((value, i) => {
      let sum = 0;
      for (let k = 0; k < size; k++) sum += a[Math.floor(i / size) * size + k]! * b[k * size + (i % size)]!;
      return value !== sum;
    });
    return wrong < 0 ? undefined : `the device computes wrong numbers: element ${wrong} of a ${size} × ${size} product`;
  } catch (error) {
    return oneLine((error as Error).message);
  }
}

/** Of an optional package, which may hide its package.json from `require`. */
function versionOf(name: string): string {
  try {
    let folder = dirname(createRequire(import.meta.url).resolve(name));
    while (basename(folder) !== name) folder = dirname(folder);
    return (JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string }).version;
  } catch {
    return "not installed";
  }
}

function text({ ok, versions, platform, adapter, features, limits, kernels }: Report): string {
  const rows: [string, string][] = [["system", platform], ...Object.entries(versions)];
  if (adapter && limits) {
    const lanes = adapter.subgroupSize === undefined ? "of no fixed size" : `${adapter.subgroupSize} lanes`;
    rows.push(
      ["adapter", adapter.name],
      ["driver", adapter.description],
      ["subgroups", lanes],
      ["features", features.join(", ") || "none"],
      ["computes", ok ? "yes, as it should" : "no"],
    );
    rows.push(
      ...Object.entries(limits).map(([name, value]): [string, string] => [
        "limit",
        `${name} ${Number(value).toLocaleString("en-US")}`,
      ]),
    );
    rows.push(...Object.entries(kernels).map(([name, tier]): [string, string] => ["kernel", `${name}: ${tier}`]));
  } else rows.push(["adapter", "none"]);
  return rows.map(([name, value]) => `${name.padEnd(11)}${value}\n`).join("");
}
