import type { KeyValues } from "../../nn/attention.ts";
import { add, cast, concat, matmul, mean, mul, permute, slice, softmax } from "../../tensor/ops.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { ranges } from "../../kernels/bands.ts";
import { InputError } from "../../util/errors.ts";
import type { FusedBlock, Fusion, TokenGrid } from "../unet/fusion.ts";
import type { FusionInputs, FusionStrategy } from "./strategy.ts";

/** A place on a picture: 0 left and top, 1 right and bottom. */
export interface PicturePoint {
  /** From the left. */
  readonly x: number;
  /** From the top. */
  readonly y: number;
}

/** What is watched. */
export interface AttentionMapsOptions {
  /** Places on the person whose whole attention over the garment is kept. Default none. */
  readonly points?: readonly PicturePoint[];
  /** Which blocks are watched at which training timesteps. Default all. */
  readonly when?: (block: number, timestep: number) => boolean;
}

/** What a block's person tokens read of one garment in one pass: means over the heads, of the first picture. */
export interface GarmentReading {
  /** Share of each person token's attention that goes to this garment, 0 … 1, [height · width]. */
  readonly share: Float32Array;
  /** Where on the garment each person token reads: the mean place of that share, 0 … 1, [height · width] each. */
  readonly x: Float32Array;
  /** The same from the top. */
  readonly y: Float32Array;
  /** How much of the person's attention each garment token gets: it adds up to the mean of `share`, [height · width]. */
  readonly read: Float32Array;
  /** Of each of the points: how its attention lies on the garment's tokens, [height · width] each. */
  readonly points: readonly Float32Array[];
}

/** What was seen of one block in one pass. */
export interface AttentionReading {
  /** Position among the UNet's transformer blocks. */
  readonly block: number;
  /** Number of the pass, counted from 0. */
  readonly pass: number;
  /** The training timestep of that pass, 0 … 999. */
  readonly timestep: number;
  /** How the block's tokens lie on the person, and on each garment. */
  readonly grid: TokenGrid;
  /** In the garments' order. */
  readonly garments: readonly GarmentReading[];
}

/** What is on the device of one garment's reading. */
interface Taken {
  readonly block: number;
  readonly pass: number;
  readonly timestep: number;
  readonly grid: TokenGrid;
  /** [tokens, 3]: share, and share times x and y. */
  readonly sums: Tensor;
  /** [1 + points, tokens]. */
  readonly maps: Tensor;
}

const BLOCK_BYTES = 2 ** 25; // scores that may exist at a time

/**
 * Watches which garment tokens a network's person tokens read, while it runs. It sees what a strategy hands to the
 * block's attention as `more` keys (concat, weighted and masked do). The network's result stays bit for bit the same;
 * its passes are not recorded, and the watched attention is computed a second time, with its weights.
 */
export class AttentionMaps {
  readonly #points: readonly PicturePoint[];
  readonly #when: (block: number, timestep: number) => boolean;
  readonly #taken: Taken[] = [];
  #pass = -1;
  #timestep = 0;

  constructor({ points = [], when = () => true }: AttentionMapsOptions = {}) {
    const outside = points.find(({ x, y }) => !(x >= 0 && x <= 1 && y >= 0 && y <= 1));
    if (outside)
      throw new InputError("AttentionMaps", `point ${outside.x}, ${outside.y} is outside the picture: 0 to 1 each`);
    this.#points = points;
    this.#when = when;
  }

  /** The same strategy, watched. */
  watching(strategy: FusionStrategy): FusionStrategy {
    const watched = Object.create(strategy, {
      fuse: { value: (inputs: FusionInputs) => this.watch(strategy.fuse(inputs)) },
    }) as FusionStrategy;
    return watched;
  }

  /** The same fusion, watched. */
  watch(fusion: Fusion): Fusion {
    const blocks = new Map<FusedBlock, FusedBlock>();
    let grid: TokenGrid = { height: 0, width: 0 };
    const watchedBlock = (block: FusedBlock): FusedBlock => {
      const known = blocks.get(block) ?? watchBlock(block, (...seen) => this.#see(block, grid, ...seen));
      blocks.set(block, known);
      return known;
    };
    const attend =
      (inner: Fusion, seen: boolean): Fusion["selfAttention"] =>
      (block, tokens, own) => {
        const watched = watchedBlock(block); // always the same object: fusions keep keys by block
        this.#watches = seen && this.#when(block.index, this.#timestep);
        grid = own;
        return inner.selfAttention(watched, tokens, own);
      };
    return {
      live: true,
      selfAttention: attend(fusion, true),
      before: (pass) => {
        this.#pass++;
        this.#timestep = pass.timesteps[0]!;
        fusion.before?.(pass);
      },
      ...(fusion.part && {
        part: (index, count) => {
          const part = fusion.part!(index, count);
          return { ...hooksOf(part), selfAttention: attend(part, index === 0) };
        },
      }),
      ...(fusion.prepare && { prepare: (all) => fusion.prepare!(all.map(watchedBlock)) }),
      ...hooksOf(fusion),
      dispose: () => fusion.dispose?.(),
    };
  }

  /** What was seen since the last call, in the order of passes and blocks. */
  async readings(): Promise<AttentionReading[]> {
    const found: (Omit<AttentionReading, "garments"> & { garments: GarmentReading[] })[] = [];
    for (const { block, pass, timestep, grid, sums, maps } of this.#taken.splice(0)) {
      const garment = readingOf(await sums.data(), await maps.data(), this.#points.length);
      sums.dispose();
      maps.dispose();
      const before = found.at(-1);
      if (before?.block === block && before.pass === pass) before.garments.push(garment);
      else found.push({ block, pass, timestep, grid, garments: [garment] });
    }
    return found;
  }

  /** Forgets what was seen. */
  dispose(): void {
    for (const { sums, maps } of this.#taken.splice(0)) for (const tensor of [sums, maps]) tensor.dispose();
  }

  #watches = false;

  #see(block: FusedBlock, grid: TokenGrid, x: Tensor, own: KeyValues | undefined, more: KeyValues): void {
    const tokens = grid.height * grid.width;
    const garments = more.k.shape[1]! / tokens;
    if (!this.#watches || !Number.isInteger(garments)) return;
    const { index, attn1 } = block;
    const points = this.#points.map((point) => tokenAt(point, grid));
    const made = x.device.scope(() => {
      const [q, ownKeys] = [attn1.to_q.forward(x), (own ?? attn1.keysValues(x)).k];
      const [queries, keys, others] = [q, ownKeys, more.k].map((t) => headsOf(t, attn1.heads)) as [Tensor, Tensor, Tensor]; // prettier-ignore
      return attentionSums(queries, concat([keys, others], 1), { grid, garments, points });
    });
    const seen = { block: index, pass: this.#pass, timestep: this.#timestep, grid };
    for (const { sums, maps } of made) this.#taken.push({ ...seen, sums: sums.keep(), maps: maps.keep() });
  }
}

/** The hooks of a fusion that watching leaves as they are. */
const hooksOf = (fusion: Fusion): Pick<Fusion, "input" | "output"> => ({
  ...(fusion.input && { input: (sample: Tensor) => fusion.input!(sample) }),
  ...(fusion.output && { output: (predicted: Tensor) => fusion.output!(predicted) }),
});

/** A block whose attention tells of every call that reads more keys than its own. */
function watchBlock(
  { index, norm1, attn1 }: FusedBlock,
  see: (x: Tensor, own: KeyValues | undefined, more: KeyValues) => void,
): FusedBlock {
  const { heads, to_q, to_k, to_v, to_out } = attn1;
  const forward: typeof attn1.forward = (x, options) => {
    if (options?.more) see(x, options.keysValues, options.more);
    return attn1.forward(x, options);
  };
  const keysValues: typeof attn1.keysValues = (context) => attn1.keysValues(context);
  return { index, norm1, attn1: { heads, to_q, to_k, to_v, to_out, keysValues, forward } };
}

/** The first picture's tokens by heads: [n, t, heads·d] → [heads, t, d] f32. */
function headsOf(x: Tensor, heads: number): Tensor {
  const [, tokens = 0, channels = 0] = x.shape;
  const first = cast(slice(x, 0, 0, 1), "f32").reshape(tokens, heads, channels / heads);
  return permute(first, [1, 0, 2]);
}

const tokenAt = ({ x, y }: PicturePoint, { height, width }: TokenGrid): number => {
  const cell = (at: number, count: number) => Math.min(count - 1, Math.max(0, Math.floor(at * count)));
  return cell(y, height) * width + cell(x, width);
};

interface Asked {
  readonly grid: TokenGrid;
  readonly garments: number;
  /** Tokens. */
  readonly points: readonly number[];
}

/**
 * The weights softmax(q kᵀ / √d), block of queries after block, summed up as soon as they are known.
 * @param q [heads, t, d]
 * @param k [heads, t + garments · t, d]
 */
function attentionSums(q: Tensor, k: Tensor, { grid, garments, points }: Asked): Pick<Taken, "sums" | "maps">[] {
  const { device } = q;
  const [heads = 0, tokens = 0, d = 0] = q.shape;
  const keys = k.shape[1]!;
  const places = placesOf(device, grid);
  const rows = Math.max(16, Math.floor(BLOCK_BYTES / 4 / heads / keys / 16) * 16);
  const sums: Tensor[][] = Array.from({ length: garments }, () => []);
  const read: Tensor[][] = Array.from({ length: garments }, () => []);
  const rowsOf: Tensor[][] = Array.from({ length: garments }, () => []);
  for (const { start, length } of ranges(tokens, rows)) {
    const inside = points.flatMap((token, at) => (token >= start && token < start + length ? [{ at, token }] : []));
    const found = device.scope(() => {
      const scores = matmul(mul(slice(q, 1, start, start + length), 1 / Math.sqrt(d)), k, { transposeB: true });
      const weights = mean(softmax(scores), { dims: [0] }); // [rows, keys]
      return sums.map((_, g) => {
        const own = slice(weights, 1, (1 + g) * tokens, (2 + g) * tokens);
        const total = mul(mean(own, { dims: [0], keepDims: true }), length / tokens);
        const row = ({ at, token }: { at: number; token: number }) => ({ at, map: slice(own, 0, token - start, token - start + 1) }); // prettier-ignore
        return { sums: matmul(own, places), total, rows: inside.map(row) };
      });
    });
    for (const [g, { sums: own, total, rows: maps }] of found.entries()) {
      sums[g]!.push(own);
      read[g]!.push(total);
      for (const { at, map } of maps) rowsOf[g]![at] = map;
    }
  }
  return sums.map((each, g) => ({
    sums: each.length === 1 ? each[0]! : concat(each, 0),
    maps: concat([read[g]!.reduce(add), ...rowsOf[g]!], 0),
  }));
}

/** 1, x and y of each token's middle, [t, 3]. */
function placesOf(device: Tensor["device"], { height, width }: TokenGrid): Tensor {
  const values = Array.from({ length: height * width }, (_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    return [1, (x + 0.5) / width, (y + 0.5) / height];
  });
  return Tensor.from(device, values.flat(), [height * width, 3]);
}

function readingOf(sums: Float32Array, maps: Float32Array, points: number): GarmentReading {
  const tokens = sums.length / 3;
  const share = Float32Array.from({ length: tokens }, (_, i) => sums[3 * i]!);
  const mean = (axis: 1 | 2) => share.map((whole, i) => (whole > 0 ? sums[3 * i + axis]! / whole : 0.5));
  const map = (i: number) => maps.slice(i * tokens, (i + 1) * tokens);
  return { share, x: mean(1), y: mean(2), read: map(0), points: Array.from({ length: points }, (_, i) => map(1 + i)) };
}
