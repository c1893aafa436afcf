export type LoraNetwork = "unet" | "text_encoder";

/** The weight that a LoRA tensor changes. */
export interface LoraTarget {
  readonly network: LoraNetwork;
  /** The parameter's name in its network. */
  readonly key: string;
}

type Weights = Readonly<Record<LoraNetwork, ReadonlyMap<string, unknown>>>;
type Role = "up" | "down" | "alpha";

const KOHYA: Readonly<Record<string, LoraNetwork>> = { unet: "unet", te: "text_encoder", te1: "text_encoder" };

/** Endings that name a half of an update, by spelling. What stands before them is the module's path. */
const ENDINGS: readonly (readonly [RegExp, (found: RegExpExecArray) => Role])[] = [
  [/\.lora_(A|B)(?:\.\w+)?\.weight$/, ([, half]) => (half === "A" ? "down" : "up")],
  [/(?:_lora|\.lora|\.lora_linear_layer)\.(down|up)\.weight$/, ([, half]) => half as Role],
  [/(?:_lora|\.lora|\.lora_linear_layer)?\.alpha$/, () => "alpha"],
];

/**
 * What a tensor of a LoRA file is; undefined when it is for nothing in these networks.
 * @param weights the networks' parameters by name
 */
export function loraKey(
  name: string,
  weights: Weights,
): { readonly target: LoraTarget; readonly role: Role } | undefined {
  const kohya = /^lora_(unet|te1?)_(.+?)\.(?:lora_(down|up)\.weight|(alpha))$/.exec(name);
  if (kohya) {
    const [, prefix = "", flat = "", half, alpha] = kohya;
    const network = KOHYA[prefix]!;
    const key = flatNames(weights[network]).get(flat);
    return key === undefined ? undefined : { target: { network, key }, role: (half ?? alpha) as Role };
  }
  for (const [ending, role] of ENDINGS) {
    const found = ending.exec(name);
    if (!found) continue;
    const target = targetOf(name.slice(0, found.index), weights);
    return target && { target, role: role(found) };
  }
  return undefined;
}

/** The weight of a module by its path, with or without its network's name before it. */
function targetOf(path: string, weights: Weights): LoraTarget | undefined {
  const inner = path.replace(/^base_model\.model\./, "");
  const given = /^(unet|text_encoder)\.(.+)$/.exec(inner);
  const network = (given?.[1] ?? (inner.startsWith("text_model.") ? "text_encoder" : "unet")) as LoraNetwork;
  const module = (given?.[2] ?? inner)
    .replace(/\.processor\.to_(q|k|v|out)$/, ".to_$1") // attention processors held the layers once
    .replace(/(\.attn[12]\.to_out)$/, "$1.0")
    .replace(/(\.self_attn)\.to_(q|k|v|out)$/, (_, attention: string, name: string) => `${attention}.${name}_proj`);
  const key = `${module}.weight`;
  return weights[network].has(key) ? { network, key } : undefined;
}

const flattened = new WeakMap<ReadonlyMap<string, unknown>, ReadonlyMap<string, string>>();

/** Weights' names by their module's path as kohya writes it, with underscores for dots. */
function flatNames(weights: ReadonlyMap<string, unknown>): ReadonlyMap<string, string> {
  const known = flattened.get(weights);
  if (known) return known;
  const names = [...weights.keys()].filter((key) => key.endsWith(".weight"));
  const table = new Map(names.map((key) => [key.slice(0, -".weight".length).replaceAll(".", "_"), key]));
  flattened.set(weights, table);
  return table;
}
