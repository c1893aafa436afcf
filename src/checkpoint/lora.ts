import { WeightsError } from "../util/errors.ts";
import { decodeBF16, decodeF16 } from "../util/float16.ts";
import { show } from "../util/shape.ts";
import { loraKey, type LoraNetwork, type LoraTarget } from "./lora_names.ts";
import { quote, type TensorInfo, type TensorSource } from "./source.ts";

/** A low-rank change of one module's weight: scale · up · down. */
export interface LoraUpdate {
  readonly network: LoraNetwork;
  /** The parameter's name in its network. */
  readonly key: string;
  /** alpha / rank. */
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
}

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
 * diffusers' `to_q_lora.down` and `.up`, kohya's `lora_unet_….lora_down` with `alpha`. Without an alpha the scale is 1.
 * @throws WeightsError that lists every tensor that fits nothing, every half of a pair, and every shape that is wrong
 */
export async function readLora(
  source: TensorSource,
  targets: LoraTargets,
  { strict = true }: { readonly strict?: boolean } = {},
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
  const problems = strict ? unknown.map((name) => `unexpected  ${quote(name)}`) : [];
  for (const [name, entry] of found) problems.push(...faults(name, entry, targets));
  if (found.size === 0) problems.push("no tensor of it belongs to a LoRA of Stable Diffusion 1");
  if (problems.length)
    throw new WeightsError(source.name, `${problems.length} faults in a LoRA file\n  ${problems.join("\n  ")}`);
  const updates: LoraUpdate[] = [];
  const alphas = adapterAlphas(source);
  for (const { target, up, down, alpha } of found.values()) {
    const rank = down!.shape[0]!;
    const scale = alpha ? (await numbers(source, alpha))[0]! / rank : (alphas(target.network) ?? rank) / rank;
    const [upValues, downValues] = [await numbers(source, up!), await numbers(source, down!)];
    updates.push({ ...target, scale, rank, up: upValues, down: downValues });
  }
  return { updates, ignored: unknown };
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

/** Newer diffusers keep PEFT's alpha in the file's metadata, one for each network. */
function adapterAlphas(source: TensorSource): (network: LoraNetwork) => number | undefined {
  const text = source.metadata.get("lora_adapter_metadata");
  if (text === undefined) return () => undefined;
  const metadata = parse(text);
  const bad = Object.keys(metadata).find((key) => {
    const value = metadata[key];
    return key.endsWith("alpha_pattern") && typeof value === "object" && Object.keys(value ?? {}).length > 0;
  });
  if (bad !== undefined) throw new WeightsError(source.name, `its metadata has an ${bad}, which is not implemented`);
  return (network) => {
    const alpha = metadata[`${network}.lora_alpha`];
    return typeof alpha === "number" ? alpha : undefined;
  };
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
