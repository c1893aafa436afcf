import type { Device } from "../gpu/device.ts";
import type { MatrixSyntax } from "../gpu/facts.ts";
import { defineKernel, type View } from "../gpu/kernel.ts";
import matrixSource from "./attention_matrix.wgsl";
import plainSource from "./attention_plain.wgsl";
import { attentionChoice, ATTENTION_TILES, matrixBytes, planAttention, subgroupRows } from "./attention_plan.ts";
import subgroupSource from "./attention_subgroup.wgsl";
import tiledSource from "./attention_tiled.wgsl";
import { bindRange } from "./bands.ts";
import type { KernelEntry } from "./entry.ts";
import shared from "./lib/attention.wgsl";
import index from "./lib/index.wgsl";
import matrix from "./lib/matrix.wgsl";
import matrixEmulated from "./lib/matrix_emulated.wgsl";
import matrixFlag from "./lib/matrix_flag.wgsl";
import { tell } from "./met.ts";

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
  spec: { elem: "f32", LANES: 8, PIN: false, ROWS: 8, D: 40, CAUSAL: false },
  params,
  bind,
});
const tiled = defineKernel({
  name: "attention_tiled",
  files: { ...files, "attention_tiled.wgsl": tiledSource },
  spec: { elem: "f32", D: 40, CAUSAL: false },
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
const defineMatrix = (name: string, functions: Readonly<Record<string, string>>) =>
  defineKernel({
    name,
    files: { ...files, ...functions, "attention_matrix.wgsl": matrixSource },
    spec: {
      ...{ elem: "f16", comp: "f16", LANES: 32, PIN: false, MM: 16, NN: 16, KK: 16 },
      ...{ ...ATTENTION_TILES[0], D: 40, CAUSAL: false },
    },
    params,
    bind,
  });
const matrices = {
  layout: defineMatrix("attention_matrix", { "lib/matrix.wgsl": matrix }),
  flag: defineMatrix("attention_matrix_flag", { "lib/matrix_flag.wgsl": matrixFlag }),
  emulated: defineMatrix("attention_matrix_emulated", { "lib/matrix_emulated.wgsl": matrixEmulated }),
} satisfies Record<MatrixSyntax, unknown>;

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
  const problem = { elem, headDim };
  tell(device, { family: "attention", problem, queries });
  const name = attentionChoice(device.variants, problem);
  const plan = planAttention(device.facts, problem, name);
  const tiles = Math.ceil(queries / plan.rows);
  const token = (heads * headDim) / 4;
  const kernel =
    plan.variant === "matrix" ? matrices[device.facts.matrixSyntax!] : { subgroup, tiled, plain }[plan.variant];
  device.run(kernel, {
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

const UNITS = [
  { comp: "f16", MM: 16, NN: 16, KK: 16 },
  { comp: "f16", MM: 8, NN: 16, KK: 16 },
  { comp: "f16", MM: 8, NN: 8, KK: 16 },
  { comp: "f32", MM: 8, NN: 8, KK: 8 },
];
const MOST_BYTES = 48 * 1024; // of workgroup memory, on the devices that have such units
const matrixSpecs = (LANES: number, PIN: boolean) =>
  specs
    .filter(({ D }) => D <= 256)
    .flatMap((spec) =>
      UNITS.filter(({ comp }) => comp === "f32" || spec.elem === "f16").flatMap((units) =>
        ATTENTION_TILES.filter(
          (tile) =>
            matrixBytes(tile, { M: units.MM, N: units.NN, K: units.KK, componentType: units.comp }, spec.D, LANES) <=
            MOST_BYTES,
        ).map((tile) => ({ ...spec, ...units, ...tile, LANES, PIN })),
      ),
    );
const matrixNeeds = ["subgroups", "subgroup-size-control", "chromium-experimental-subgroup-matrix"];

export const attentionEntries: readonly KernelEntry[] = [
  {
    kernel: subgroup,
    needs: ["subgroups", "subgroup-size-control"],
    specs: specs.flatMap((spec) =>
      [4, 8, 16, 32, 64, 128].flatMap((LANES) =>
        [false, true].map((PIN) => ({ ...spec, LANES, PIN, ROWS: subgroupRows(spec.D) })),
      ),
    ),
  },
  { kernel: tiled, specs: specs.filter(({ D }) => D <= 256) },
  { kernel: plain, specs },
  { kernel: matrices.layout, needs: matrixNeeds, specs: matrixSpecs(32, true) },
  { kernel: matrices.flag, needs: matrixNeeds, specs: matrixSpecs(32, true) },
  { kernel: matrices.emulated, needs: ["subgroups"], specs: matrixSpecs(8, false) },
];
