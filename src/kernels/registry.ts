import { adamwEntry } from "./adamw.ts";
import { attentionEntries } from "./attention.ts";
import { binaryEntry } from "./binary.ts";
import type { KernelEntry } from "./entry.ts";
import { gatherEntry } from "./gather.ts";
import { gegluEntry } from "./geglu.ts";
import { gemmEntries } from "./gemm.ts";
import { groupNormEntries } from "./group_norm.ts";
import { lerpEntry } from "./lerp.ts";
import { nonFiniteEntry } from "./non_finite.ts";
import { packEntries } from "./pack.ts";
import { resampleEntry } from "./resample.ts";
import { rowEntries } from "./rows.ts";
import { stridedCopyEntry } from "./strided_copy.ts";
import { sumSquaresEntry } from "./sum_squares.ts";
import { unaryEntry } from "./unary.ts";
import { weightedSumEntry } from "./weighted_sum.ts";

/** Every kernel with every spec it is used with: what can be compiled is all here. */
export const KERNELS: readonly KernelEntry[] = [
  adamwEntry,
  ...attentionEntries,
  binaryEntry,
  gatherEntry,
  gegluEntry,
  ...gemmEntries,
  ...groupNormEntries,
  lerpEntry,
  nonFiniteEntry,
  ...packEntries,
  resampleEntry,
  ...rowEntries,
  stridedCopyEntry,
  sumSquaresEntry,
  unaryEntry,
  weightedSumEntry,
];
