import { InputError, WeightsError } from "../util/errors.ts";
import { decodeBF16, decodeF16 } from "../util/float16.ts";
import { show } from "../util/shape.ts";
import { loraKey, type LoraNetwork, type LoraTarget } from "./lora_names.ts";
import { quote, type TensorInfo, type TensorSource } from "./source.ts";

/** A low-rank change of one module's weight: scale · up · down. */
export interface LoraUpdate {
  readonly network: LoraNetwork;
  /** The parameter's name in its network. */
  readonly key: string;
  /** alpha / rank, or alpha / √rank (Kalajdzievski 2023, arXiv 2312.03732). */
  readonly scale: number;
  readonly rank: number;
  /** [out, rank], row by row. */
  readonly up: Float32Array;
  /** [rank, inputs · kernel], row by row. */
  readonly down: Float32Array;
}

export interface Lora {
  readonly updates: readonly LoraUpdate[];
  /** Names that fit nothing, with `strict: false`. */
  readonly ignored: string[];
  /** One line about what may spoil its influence. */
  readonly warnings: readonly string[];
}

export interface ReadLoraOptions {
  /** Whether a tensor that fits nothing is an error. Default true. */
  readonly strict?: boolean | undefined;
  /** Where nothing else tells it. */
  readonly alpha?: number | undefined;
  /** PEFT's adapter_config.json, which is asked for only where a file is PEFT's own. */
  readonly config?: (() => Promise<Json | undefined>) | undefined;
}

type Json = Readonly<Record<string, unknown>>;

/** Shapes of the weights that a LoRA may change, by name. */
export type LoraTargets = Readonly<Record<LoraNetwork, ReadonlyMap<string, readonly number[]>>>;

/** What was found of one module. */
interface Found {
  readonly target: LoraTarget;
  up?: TensorInfo;
  down?: TensorInfo;
  alpha?: TensorInfo;
}

/**
 * Reads a LoRA file (Hu et al. 2021, arXiv 2106.09685) in any of three spellings: PEFT's `lora_A` and `lora_B`,
 * diffusers' `to_q_lora.down` and `.up`, kohya's `lora_unet_….lora_down` with `alpha`. Without an alpha the scale is 1, as in
 * diffusers; PEFT's own files (`base_model.model.…`) always have one, in the adapter_config.json beside them.
 * @throws WeightsError that lists every tensor that fits nothing, every half of a pair, and every shape that is wrong
 */
export async function readLora(
  source: TensorSource,
  targets: LoraTargets,
  options: ReadLoraOptions = {},
): Promise<Lora> {
  const found = new Map<string, Found>();
  const unknown: string[] = [];
  for (const tensor of source.tensors.values()) {
    const parsed = loraKey(tensor.name, targets);
    if (!parsed) {
      unknown.push(tensor.name);
      continue;
    }
    const { target, role } = parsed;
    const name = `${target.network} ${target.key}`;
    const entry: Found = found.get(name) ?? { target };
    if (entry[role]) throw new WeightsError(source.name, `two ${role} tensors for ${name}`);
    entry[role] = tensor;
    found.set(name, entry);
  }
  const problems = (options.strict ?? true) ? unknown.map((name) => `unexpected  ${quote(name)}`) : [];
  for (const [name, entry] of found) problems.push(...faults(name, entry, targets));
  if (found.size === 0) problems.push("no tensor of it belongs to a LoRA of Stable Diffusion 1");
  if (problems.length)
    throw new WeightsError(source.name, `${problems.length} faults in a LoRA file\n  ${problems.join("\n  ")}`);
  const updates: LoraUpdate[] = [];
  const { scaling, warnings } = await scalings(source, options);
  for (const { target, up, down, alpha } of found.values()) {
    const rank = down!.shape[0]!;
    const scale = alpha ? (await numbers(source, alpha))[0]! / rank : scaling(target.network, rank);
    const [upValues, downValues] = [await numbers(source, up!), await numbers(source, down!)];
    updates.push({ ...target, scale, rank, up: upValues, down: downValues });
  }
  return { updates, ignored: unknown, warnings };
}

function faults(name: string, { target, up, down, alpha }: Found, targets: LoraTargets): string[] {
  if (!up || !down) return [`${name} lacks its ${up ? "down" : "up"} tensor`];
  const shape = targets[target.network].get(target.key)!;
  const [out, ...inputs] = shape;
  const [rank, ...read] = down.shape;
  const size = (sizes: readonly number[]) => sizes.reduce((product, n) => product * n, 1);
  const wrong: string[] = [];
  // a linear layer's update may come as a 1x1 convolution, and the other way round
  if (!rank) wrong.push(`${name} has a down tensor of ${show(down.shape)}: no rank`);
  else if (size(read) !== size(inputs) || up.shape[0] !== out || size(up.shape.slice(1)) !== rank)
    wrong.push(`${name} is ${show(shape)}: up ${show(up.shape)} and down ${show(down.shape)} do not make it`);
  if (alpha && size(alpha.shape) !== 1) wrong.push(`${name} has an alpha of ${show(alpha.shape)}`);
  for (const tensor of [up, down, ...(alpha ? [alpha] : [])])
    if (!["F32", "F16", "BF16"].includes(tensor.dtype)) wrong.push(`${quote(tensor.name)} is ${tensor.dtype}`);
  return wrong;
}

async function numbers(source: TensorSource, { name, dtype }: TensorInfo): Promise<Float32Array> {
  const { buffer } = await source.read(name);
  const half = dtype === "F16" ? decodeF16 : decodeBF16;
  const values = dtype === "F32" ? new Float32Array(buffer) : half(new Uint16Array(buffer));
  const bad = values.find((value) => !Number.isFinite(value));
  if (bad !== undefined) throw new WeightsError(source.name, `${quote(name)} holds ${bad}`);
  return values;
}

const PEFT = "base_model.model.";

/** What the networks' updates are multiplied with where no tensor says it: newer diffusers keep PEFT's metadata. */
async function scalings(
  source: TensorSource,
  { alpha: given, config }: ReadLoraOptions,
): Promise<{ readonly scaling: (network: LoraNetwork, rank: number) => number; readonly warnings: string[] }> {
  if (given !== undefined && !(Number.isFinite(given) && given > 0))
    throw new InputError("lora", `alpha is ${given}, a number above 0 is needed`);
  const text = source.metadata.get("lora_adapter_metadata");
  const metadata = text === undefined ? {} : parse(text);
  const isPeft = [...source.tensors.keys()].some((name) => name.startsWith(PEFT));
  const own = (isPeft ? await config?.() : undefined) ?? {};
  for (const [where, fields] of Object.entries({ "its metadata": metadata, "its adapter_config.json": own }))
    for (const [key, value] of Object.entries(fields))
      if (key.endsWith("alpha_pattern") && typeof value === "object" && Object.keys(value ?? {}).length > 0)
        throw new WeightsError(source.name, `${where} has an ${key}, which is not implemented`);
  const told = (network: LoraNetwork, field: string) => metadata[`${network}.${field}`] ?? own[field];
  const alphaOf = (network: LoraNetwork) => {
    const alpha = told(network, "lora_alpha");
    return typeof alpha === "number" ? alpha : given;
  };
  const scaling = (network: LoraNetwork, rank: number) => {
    const isStabilised = told(network, "use_rslora") === true;
    return (alphaOf(network) ?? rank) / (isStabilised ? Math.sqrt(rank) : rank);
  };
  const isUntold = isPeft && (["unet", "text_encoder"] as const).every((network) => alphaOf(network) === undefined);
  const untold = "neither it nor an adapter_config.json beside it tells its alpha: taken as its rank, so scaled by 1";
  return { scaling, warnings: isUntold ? [`${source.name}: ${untold}`] : [] };
}

function parse(text: string): Json {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Json) : {};
  } catch {
    return {};
  }
}
