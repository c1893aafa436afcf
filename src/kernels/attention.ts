import type { Device } from "../gpu/device.ts";
import type { DeviceFacts } from "../gpu/facts.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import type { Spec } from "../gpu/wgsl.ts";
import { KernelError } from "../util/errors.ts";
import plainSource from "./attention_plain.wgsl";
import subgroupSource from "./attention_subgroup.wgsl";
import { bindRange } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import shared from "./lib/attention.wgsl";
import index from "./lib/index.wgsl";

const files = { "lib/index.wgsl": index, "lib/attention.wgsl": shared };
const params = {
  batches: "u32",
  heads: "u32",
  queries: "u32",
  keys: "u32",
  tiles: "u32",
  q_first: "u32",
  kv_first: "u32",
  q_batch: "u32",
  kv_batch: "u32",
  scale: "f32",
} as const;
const bind = { q: "read", k: "read", v: "read", y: "read_write" } as const;

const subgroup = defineKernel({
  name: "attention_subgroup",
  files: { ...files, "attention_subgroup.wgsl": subgroupSource },
  spec: { elem: "f32", LANES: 8, ROWS: 8, D: 40, CAUSAL: false },
  params,
  bind,
});
const plain = defineKernel({
  name: "attention_plain",
  files: { ...files, "attention_plain.wgsl": plainSource },
  spec: { elem: "f32", D: 40, CAUSAL: false },
  params,
  bind,
});

export interface AttentionPlan {
  readonly variant: "subgroup" | "plain";
  /** Queries of a tile. */
  readonly rows: number;
  readonly spec: Spec;
}

/** Queries of a tile: a wide head's sums leave less room. */
const rowsFor = (headDim: number): number => (headDim <= 96 ? 16 : headDim <= 256 ? 8 : 4);

/** Chooses the kernel. A pure function of the sizes and the device's facts; `forced` overrides it for tests. */
export function planAttention(facts: DeviceFacts, headDim: number, forced?: string): AttentionPlan {
  const lanes = facts.subgroupSize;
  const variant = forced ?? (lanes === undefined ? "plain" : "subgroup");
  if (variant === "plain") return { variant, rows: 64, spec: {} };
  if (variant !== "subgroup")
    throw new KernelError("attention", `no variant named ${variant}: there are subgroup and plain`);
  if (lanes === undefined)
    throw new KernelError("attention", `variant subgroup needs a fixed subgroup size, which ${facts.name} lacks`);
  const rows = rowsFor(headDim);
  return { variant, rows, spec: { LANES: lanes, ROWS: rows } };
}

export interface AttentionCall {
  readonly elem: "f32" | "f16";
  readonly batches: number;
  readonly heads: number;
  readonly headDim: number;
  readonly queries: number;
  readonly keys: number;
  readonly q: View;
  readonly k: View;
  readonly v: View;
  readonly y: View;
  /** One batch of keys and values serves all. */
  readonly sharedKeys: boolean;
  readonly causal: boolean;
  readonly scale: number;
}

/** Records attention; batches that one binding cannot hold together go one by one. */
export function attention(device: Device, call: AttentionCall): void {
  const { limits } = device.facts;
  const bytes = call.elem === "f16" ? 2 : 4;
  const most = limits.maxStorageBufferBindingSize;
  if (call.batches === 1 || Math.max(call.q.bytes, call.k.bytes) <= most) return record(device, call, { q: 0, kv: 0 });
  const width = call.heads * call.headDim * bytes;
  for (let batch = 0; batch < call.batches; batch++) {
    const own = [batch * call.queries * width, call.queries * width] as const;
    const other = [call.sharedKeys ? 0 : batch * call.keys * width, call.keys * width] as const;
    const q = bindRange(limits, call.q, ...own);
    const k = bindRange(limits, call.k, ...other);
    const one = {
      ...call,
      batches: 1,
      q: q.view,
      k: k.view,
      v: bindRange(limits, call.v, ...other).view,
      y: bindRange(limits, call.y, ...own).view,
    };
    record(device, one, { q: q.skip / (4 * bytes), kv: k.skip / (4 * bytes) });
  }
}

function record(device: Device, call: AttentionCall, first: { q: number; kv: number }): void {
  const { elem, batches, heads, headDim, queries, keys, causal, scale, q, k, v, y } = call;
  const plan = planAttention(device.facts, headDim, device.variants["attention"]);
  const tiles = Math.ceil(queries / plan.rows);
  const token = (heads * headDim) / 4;
  device.run(plan.variant === "subgroup" ? subgroup : plain, {
    spec: { ...plan.spec, elem, D: headDim, CAUSAL: causal },
    params: {
      batches,
      heads,
      queries,
      keys,
      tiles,
      q_first: first.q,
      kv_first: first.kv,
      q_batch: queries * token,
      kv_batch: call.sharedKeys ? 0 : keys * token,
      scale,
    },
    bind: { q, k, v, y },
    groups: tiles * heads * batches,
  });
}

const specs = ["f32", "f16"].flatMap((elem) =>
  [8, 40, 64, 80, 160, 512].flatMap((D) => [false, true].map((CAUSAL) => ({ elem, D, CAUSAL }))),
);

export const attentionEntries: readonly KernelEntry[] = [
  {
    kernel: subgroup,
    needs: ["subgroups"],
    specs: specs.flatMap((spec) => [4, 8, 16, 32, 64].flatMap((LANES) => [{ ...spec, LANES, ROWS: rowsFor(spec.D) }])),
  },
  { kernel: plain, specs },
];
