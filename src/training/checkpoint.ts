import { loadModule } from "../checkpoint/load.ts";
import { openSafetensors } from "../checkpoint/safetensors.ts";
import type { TensorSource } from "../checkpoint/source.ts";
import { safetensorsStream, type TensorToFetch } from "../checkpoint/write.ts";
import type { Device } from "../gpu/device.ts";
import type { Module, Parameter } from "../nn/module.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { uploadWeight } from "../tensor/upload.ts";
import { InputError } from "../util/errors.ts";
import type { OutputFolder, StagedFolder } from "../util/host.ts";
import type { AdamW } from "./adamw.ts";
import type { EMAModel } from "./ema.ts";

/** A network under training, and the folder of a checkpoint that holds it: `unet_vton`. */
export interface TrainedNetwork {
  readonly folder: string;
  readonly module: Module;
  /** config.json, as the checkpoint shall have it. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** Everything that a run must find again so as to go on as if it had not stopped. */
export interface TrainingState {
  readonly networks: readonly TrainedNetwork[];
  readonly optimizer: AdamW;
  readonly ema: EMAModel | undefined;
}

/** Numbers of the run, kept as trainer_state.json. */
export type RunState = Readonly<Record<string, unknown>> & { readonly step: number };

const WEIGHTS = "diffusion_pytorch_model.safetensors";
const OPTIMIZER = "optimizer.safetensors";
const STATE = "trainer_state.json";
const MANIFEST = "manifest.json";
const MOMENTS = ["exp_avg", "exp_avg_sq"] as const;

export const checkpointName = (step: number): string => `checkpoint-${step}`;

/** A parameter's name in the optimiser: `unet_vton.conv_in.weight`. */
export const parameterName = (network: TrainedNetwork, key: string): string => `${network.folder}.${key}`;

/** Every parameter of the networks by its name in the optimiser. */
export function namedParameters(networks: readonly TrainedNetwork[]): Map<string, Parameter> {
  return new Map(
    networks.flatMap((network) =>
      [...network.module.parameters()].map(([key, parameter]) => [parameterName(network, key), parameter] as const),
    ),
  );
}

/**
 * Writes `checkpoint-N` into `output` and then removes the oldest beyond `limit`. The folder appears under its name
 * when all of it is on the disk, so that a run that dies at any moment leaves the last one whole.
 */
export async function saveCheckpoint(
  output: OutputFolder,
  state: TrainingState,
  run: RunState,
  limit = Infinity,
): Promise<string> {
  const name = checkpointName(run.step);
  const staged = await output.stage(name);
  const hashes: Record<string, string> = {};
  const write = async (path: string, content: Parameters<StagedFolder["write"]>[1]) => {
    hashes[path] = await staged.write(path, content);
  };
  try {
    const { networks, optimizer, ema } = state;
    for (const network of networks) {
      const current = (key: string, parameter: Parameter) =>
        optimizer.slots.get(parameterName(network, key))?.master ?? parameter.tensor;
      await writeNetwork(write, network.folder, network, current);
      const average = (key: string) => ema!.shadow.get(parameterName(network, key))!;
      if (ema) await writeNetwork(write, `${network.folder}_ema`, network, average);
    }
    await write(OPTIMIZER, safetensorsStream(moments(optimizer), optimizerSteps(optimizer)));
    await write(STATE, text({ ...run, ema_optimization_step: ema?.optimizationStep }));
    await staged.write(MANIFEST, text({ step: run.step, sha256: hashes }));
    await staged.commit();
  } catch (error) {
    await staged.discard().catch(() => undefined); // what made it fail matters more
    throw error;
  }
  const all = await checkpoints(output);
  for (const old of all.slice(0, Math.max(0, all.length - limit))) await output.remove(old.name);
  return name;
}

async function writeNetwork(
  write: (path: string, content: Parameters<StagedFolder["write"]>[1]) => Promise<void>,
  folder: string,
  { module, config }: TrainedNetwork,
  tensorOf: (key: string, parameter: Parameter) => Tensor,
): Promise<void> {
  const tensors = [...module.parameters()].map(([name, parameter]) => ({
    name,
    dtype: "F32",
    shape: parameter.shape,
    fetch: () => tensorOf(name, parameter).data(),
  }));
  await write(`${folder}/config.json`, text(config));
  await write(`${folder}/${WEIGHTS}`, safetensorsStream(tensors, { format: "pt" }));
}

function moments(optimizer: AdamW): TensorToFetch[] {
  return [...optimizer.slots].flatMap(([name, { mean, square }]) =>
    [mean, square].map((tensor, i) => ({
      name: `${name}.${MOMENTS[i]!}`,
      dtype: "F32",
      shape: tensor.shape,
      fetch: () => tensor.data(),
    })),
  );
}

const optimizerSteps = (optimizer: AdamW): Record<string, string> =>
  Object.fromEntries([...optimizer.slots].map(([name, { step }]) => [name, String(step)]));

const text = (value: unknown): Uint8Array => new TextEncoder().encode(`${JSON.stringify(value, undefined, 2)}\n`);

/** The finished checkpoints of a folder, the oldest first. */
export async function checkpoints(output: OutputFolder): Promise<{ name: string; step: number }[]> {
  const found = (await output.list()).flatMap((name) => {
    const step = /^checkpoint-(\d+)$/.exec(name)?.[1];
    return step === undefined ? [] : [{ name, step: Number(step) }];
  });
  return found.sort((a, b) => a.step - b.step);
}

/**
 * Finds the checkpoint to go on from: a name, or "latest" for the newest whose files are what its manifest says.
 * @returns undefined when "latest" finds none
 * @throws InputError for a named checkpoint that is missing or damaged
 */
export async function findCheckpoint(output: OutputFolder, wanted: string): Promise<string | undefined> {
  const names = wanted === "latest" ? (await checkpoints(output)).map(({ name }) => name).reverse() : [wanted];
  for (const name of names) {
    const damage = await damageOf(output, name);
    if (damage === undefined) return name;
    if (wanted !== "latest") throw new InputError(`${output.name}/${name}`, damage);
  }
  return undefined;
}

async function damageOf(output: OutputFolder, name: string): Promise<string | undefined> {
  if (!(await output.has(`${name}/${MANIFEST}`))) return `${MANIFEST} is missing: no finished checkpoint`;
  const { sha256 } = JSON.parse(await output.text(`${name}/${MANIFEST}`)) as { sha256: Record<string, string> };
  for (const [path, hash] of Object.entries(sha256)) {
    if (!(await output.has(`${name}/${path}`))) return `${path} is missing`;
    if ((await output.digest(`${name}/${path}`)) !== hash) return `${path} is not what its manifest says`;
  }
  return undefined;
}

/**
 * Fills networks, optimiser and averages from a checkpoint.
 * @returns the run's numbers
 * @throws WeightsError, InputError for a checkpoint of other networks
 */
export async function restoreCheckpoint(
  device: Device,
  output: OutputFolder,
  name: string,
  { networks, optimizer, ema }: TrainingState,
): Promise<RunState> {
  const run = JSON.parse(await output.text(`${name}/${STATE}`)) as RunState & { ema_optimization_step?: number };
  const moments = await openSafetensors(await output.open(`${name}/${OPTIMIZER}`));
  try {
    for (const network of networks) {
      const weights = await openSafetensors(await output.open(`${name}/${network.folder}/${WEIGHTS}`));
      try {
        const dtype = network.module.dtype === "f16" ? "f16" : "f32";
        await loadModule(device, network.module, weights, { label: network.folder, dtype });
        await restoreOptimizer(device, network, weights, moments, optimizer);
      } finally {
        await weights.close();
      }
      if (ema) await restoreAverages(device, output, `${name}/${network.folder}_ema`, network, ema);
    }
  } finally {
    await moments.close();
  }
  if (ema) ema.optimizationStep = run.ema_optimization_step ?? 0;
  return run;
}

async function restoreOptimizer(
  device: Device,
  network: TrainedNetwork,
  weights: TensorSource,
  moments: TensorSource,
  optimizer: AdamW,
): Promise<void> {
  const steps = moments.metadata;
  for (const [key, parameter] of network.module.parameters()) {
    const name = parameterName(network, key);
    const step = steps.get(name);
    if (step === undefined) continue; // it never had a gradient
    const upload = (bytes: Uint8Array) => {
      const { shape, kind } = parameter;
      return uploadWeight(device, bytes, { source: "F32", shape, kind, dtype: "f32" });
    };
    const [mean, square] = [
      upload(await moments.read(`${name}.${MOMENTS[0]}`)),
      upload(await moments.read(`${name}.${MOMENTS[1]}`)),
    ];
    const half = parameter.tensor.dtype === "f16";
    optimizer.restore(name, {
      mean,
      square,
      step: Number(step),
      ...(half && { master: upload(await weights.read(key)) }),
    });
  }
  await device.flush();
}

async function restoreAverages(
  device: Device,
  output: OutputFolder,
  folder: string,
  network: TrainedNetwork,
  ema: EMAModel,
): Promise<void> {
  const source = await openSafetensors(await output.open(`${folder}/${WEIGHTS}`));
  try {
    for (const [key, { shape, kind }] of network.module.parameters()) {
      const options = { source: "F32", shape, kind, dtype: "f32" } as const;
      const tensor = uploadWeight(device, await source.read(key), options);
      ema.restore(parameterName(network, key), tensor);
    }
    await device.flush();
  } finally {
    await source.close();
  }
}
