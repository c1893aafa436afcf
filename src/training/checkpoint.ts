import { openSafetensors } from "../checkpoint/safetensors.ts";
import type { TensorSource } from "../checkpoint/source.ts";
import { safetensorsStream, type TensorToFetch } from "../checkpoint/write.ts";
import { Tensor } from "../tensor/tensor.ts";
import { InputError, WeightsError } from "../util/errors.ts";
import type { OutputFolder, StagedFolder } from "../util/host.ts";
import { sameShape, show, type Shape } from "../util/shape.ts";
import type { AdamW } from "./adamw.ts";
import type { EMAModel } from "./ema.ts";
import { parameterName, type Masters, type TrainedNetwork } from "./masters.ts";

/** Everything that a run must find again so as to go on as if it had not stopped. */
export interface TrainingState {
  readonly networks: readonly TrainedNetwork[];
  readonly masters: Masters;
  readonly optimizer: AdamW;
  readonly ema: EMAModel | undefined;
}

/** Numbers of the run, kept as trainer_state.json. */
export type RunState = Readonly<Record<string, unknown>> & { readonly step: number };

const WEIGHTS = "diffusion_pytorch_model.safetensors";
const OPTIMIZER = "optimizer.safetensors";
export const STATE = "trainer_state.json";
const MANIFEST = "manifest.json";
const MOMENTS = ["exp_avg", "exp_avg_sq"] as const;

export const checkpointName = (step: number): string => `checkpoint-${step}`;

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
    const { networks, masters, optimizer, ema } = state;
    for (const network of networks) {
      await writeNetwork(write, network.folder, network, (name) => masters.numbers(name));
      if (!ema) continue;
      const average = async (name: string) => ema.shadow.get(name)?.data() ?? masters.numbers(name);
      const config = { ...network.config, ...ema.config };
      await writeNetwork(write, `${network.folder}_ema`, { ...network, config }, average);
    }
    await write(OPTIMIZER, safetensorsStream(moments(optimizer), optimizerSteps(optimizer)));
    await write(STATE, text({ ...run, ema_optimization_step: ema?.optimizationStep }));
    await staged.write(MANIFEST, text({ step: run.step, sha256: hashes }));
    await staged.commit();
  } catch (error) {
    await staged.discard().catch(() => undefined); // what made it fail matters more
    throw error;
  }
  await prune(output, run.step, limit);
  return name;
}

/** Removes what runs that were killed began to write. */
export async function removeUnfinished(output: OutputFolder): Promise<void> {
  for (const name of await output.unfinished()) if (/^checkpoint-\d+\./.test(name)) await output.remove(name);
}

/**
 * Removes the oldest checkpoints up to a step beyond `limit`. Later ones, which this run has not written, and folders of
 * that name that no training wrote are not ours to remove.
 */
async function prune(output: OutputFolder, last: number, limit: number): Promise<void> {
  if (limit === Infinity) return;
  const ours: string[] = [];
  for (const { name, step } of await checkpoints(output)) {
    if (step > last) continue;
    const manifest = `${name}/${MANIFEST}`;
    if ((await output.has(manifest)) && hashesIn(await output.text(manifest))) ours.push(name);
  }
  for (const old of ours.slice(0, Math.max(0, ours.length - limit))) await output.remove(old);
}

async function writeNetwork(
  write: (path: string, content: Parameters<StagedFolder["write"]>[1]) => Promise<void>,
  folder: string,
  network: TrainedNetwork,
  numbers: (name: string) => Promise<Float32Array>,
): Promise<void> {
  const tensors = [...network.module.parameters()].map(([name, parameter]) => ({
    name,
    dtype: "F32",
    shape: parameter.shape,
    fetch: () => numbers(parameterName(network, name)),
  }));
  await write(`${folder}/config.json`, text(network.config));
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
 * @param onDamaged hears of what "latest" passes over
 * @returns undefined when there is none for "latest"
 * @throws InputError for a named checkpoint that is missing or damaged, and where all are damaged
 */
export async function findCheckpoint(
  output: OutputFolder,
  wanted: string,
  onDamaged?: (name: string, damage: string) => void,
): Promise<string | undefined> {
  const names = wanted === "latest" ? (await checkpoints(output)).map(({ name }) => name).reverse() : [wanted];
  for (const name of names) {
    const damage = await damageOf(output, name);
    if (damage === undefined) return name;
    if (wanted !== "latest" || name === names.at(-1)) throw new InputError(`${output.name}/${name}`, damage);
    onDamaged?.(name, damage);
  }
  return undefined;
}

async function damageOf(output: OutputFolder, name: string): Promise<string | undefined> {
  if (!(await output.has(`${name}/${MANIFEST}`))) return `${MANIFEST} is missing: no finished checkpoint`;
  const sha256 = hashesIn(await output.text(`${name}/${MANIFEST}`));
  if (!sha256) return `${MANIFEST} is not one of a training`;
  for (const [path, hash] of Object.entries(sha256)) {
    if (!(await output.has(`${name}/${path}`))) return `${path} is missing`;
    if ((await output.digest(`${name}/${path}`)) !== hash) return `${path} is not what its manifest says`;
  }
  return undefined;
}

function hashesIn(manifest: string): Readonly<Record<string, string>> | undefined {
  try {
    const { sha256 } = JSON.parse(manifest) as { sha256?: Record<string, string> };
    return typeof sha256 === "object" ? sha256 : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Fills masters, networks, optimiser and averages from a checkpoint. Parameters that this run does not train come from it
 * as well: an earlier one may have trained them, or begun elsewhere.
 * @param facts what the run must have been
 * @returns the run's numbers
 * @throws WeightsError, InputError for a checkpoint of other networks, before anything is filled
 */
export async function restoreCheckpoint(
  output: OutputFolder,
  name: string,
  { networks, masters, optimizer, ema }: TrainingState,
  facts: Readonly<Record<string, string>> = {},
): Promise<RunState> {
  await checkNetworks(output, name, { networks, ema });
  const run = JSON.parse(await output.text(`${name}/${STATE}`)) as RunState & { ema_optimization_step?: number };
  for (const [fact, value] of Object.entries(facts))
    if (run[fact] !== undefined && run[fact] !== value)
      throw new InputError(`${output.name}/${name}`, `its ${fact} is "${String(run[fact])}", this run has "${value}"`);
  for (const network of networks) {
    const { folder } = network;
    const all = parametersOf(network);
    await readTensors(output, `${name}/${folder}/${WEIGHTS}`, all, (key, values) => masters.set(key, values));
    const averaged = all.filter(([key]) => masters.tensors.has(key));
    if (ema)
      await readTensors(output, `${name}/${folder}_ema/${WEIGHTS}`, averaged, (key, values, shape) =>
        ema.restore(key, Tensor.from(masters.device, values, shape)),
      );
  }
  await restoreOptimizer(output, `${name}/${OPTIMIZER}`, masters, optimizer);
  masters.device.scope(() => masters.bind());
  await masters.device.flush();
  if (ema) ema.optimizationStep = run.ema_optimization_step ?? 0;
  return run;
}

type Wanted = readonly [name: string, key: string, shape: Shape];

/** Every parameter of a network, by its name among all networks' and in its file. */
const parametersOf = (network: TrainedNetwork): Wanted[] =>
  [...network.module.parameters()].map(([key, { shape }]) => [parameterName(network, key), key, shape]);

/** Throws unless a checkpoint holds these networks, and every parameter in its shape. */
async function checkNetworks(
  output: OutputFolder,
  name: string,
  { networks, ema }: Pick<TrainingState, "networks" | "ema">,
): Promise<void> {
  for (const network of networks) {
    const { folder, config } = network;
    await checkConfig(output, `${name}/${folder}/config.json`, config);
    for (const [kept, why] of [
      [folder, "it is of another training"],
      ...(ema ? [[`${folder}_ema`, "it was trained without moving averages"]] : []),
    ] as const) {
      const path = `${name}/${kept}/${WEIGHTS}`;
      if (!ema && (await output.has(`${name}/${folder}_ema/${WEIGHTS}`)))
        throw new InputError(
          `${output.name}/${name}`,
          "it keeps moving averages, this run does not: they would be lost",
        );
      if (!(await output.has(path)))
        throw new InputError(`${output.name}/${name}`, `there is no ${kept} in it: ${why}`);
      const source = await openSafetensors(await output.open(path));
      try {
        for (const [, key, shape] of parametersOf(network)) checkFloats(source, key, shape);
      } finally {
        await source.close();
      }
    }
  }
}

/** Throws where a network differs from the one that was trained in more than its shapes tell: heads, norms' groups. */
async function checkConfig(output: OutputFolder, path: string, config: TrainedNetwork["config"]): Promise<void> {
  if (!(await output.has(path))) return; // of another training, which is said with its weights
  const trained = JSON.parse(await output.text(path)) as Record<string, unknown>;
  const plain = JSON.parse(JSON.stringify(config)) as Record<string, unknown>;
  const differs = (key: string) => JSON.stringify(trained[key]) !== JSON.stringify(plain[key]);
  const key = Object.keys({ ...trained, ...plain }).find((name) => !name.startsWith("_") && differs(name));
  if (key === undefined) return;
  const [was, is] = [trained[key], plain[key]].map((value) => JSON.stringify(value) ?? "not given");
  throw new InputError(`${output.name}/${path}`, `its ${key} is ${was}, this run has ${is}`);
}

/** Reads float32 tensors one by one. */
async function readTensors(
  output: OutputFolder,
  path: string,
  wanted: readonly Wanted[],
  take: (name: string, values: Float32Array, shape: Shape) => void,
): Promise<void> {
  const source = await openSafetensors(await output.open(path));
  try {
    for (const [name, key, shape] of wanted) take(name, await readFloats(source, key, shape), shape);
  } finally {
    await source.close();
  }
}

async function readFloats(source: TensorSource, key: string, shape: Shape): Promise<Float32Array> {
  checkFloats(source, key, shape);
  return new Float32Array((await source.read(key)).buffer);
}

function checkFloats(source: TensorSource, key: string, shape: Shape): void {
  const found = source.tensors.get(key);
  if (!found) throw new WeightsError("train", `${key} is missing in ${source.name}`);
  if (found.dtype !== "F32" || !sameShape(found.shape, shape))
    throw new WeightsError(
      "train",
      `${key} is ${found.dtype} ${show(found.shape)} in ${source.name}, F32 ${show(shape)} is needed`,
    );
}

async function restoreOptimizer(
  output: OutputFolder,
  path: string,
  { device, tensors }: Masters,
  optimizer: AdamW,
): Promise<void> {
  const source = await openSafetensors(await output.open(path));
  try {
    for (const [name, { shape }] of tensors) {
      const step = source.metadata.get(name);
      if (step === undefined) continue; // it never had a gradient
      const read = async (moment: string) =>
        Tensor.from(device, await readFloats(source, `${name}.${moment}`, shape), shape).keep();
      const [mean, square] = [await read(MOMENTS[0]), await read(MOMENTS[1])];
      optimizer.restore(name, { mean, square, step: Number(step) });
    }
  } finally {
    await source.close();
  }
}
