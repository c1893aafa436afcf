import { adamwEntry } from "./adamw.ts";
import { attentionEntries } from "./attention.ts";
import { binaryEntry } from "./binary.ts";
import type { KernelEntry } from "./entry.ts";
import { gatherEntry } from "./gather.ts";
import { gegluEntry } from "./geglu.ts";
import { gegluBackwardEntry } from "./geglu_backward.ts";
import { gemmEntries } from "./gemm.ts";
import { groupNormEntries } from "./group_norm.ts";
import { lerpEntry } from "./lerp.ts";
import { groupNormBackwardEntries } from "./group_norm_backward.ts";
import { nonFiniteEntry } from "./non_finite.ts";
import { outerEntries } from "./outer.ts";
import { packEntries } from "./pack.ts";
import { resampleEntry } from "./resample.ts";
import { resampleBackwardEntry } from "./resample_backward.ts";
import { rowEntries } from "./rows.ts";
import { rowBackwardEntries } from "./rows_backward.ts";
import { scatterEntry } from "./scatter.ts";
import { stridedCopyEntry } from "./strided_copy.ts";
import { sumSquaresEntry } from "./sum_squares.ts";
import { sumEntry } from "./sum.ts";
import { turnEntry } from "./turn.ts";
import { unaryEntry } from "./unary.ts";
import { unaryBackwardEntry } from "./unary_backward.ts";
import { weightedSumEntry } from "./weighted_sum.ts";

/** Every kernel with every spec it is used with: what can be compiled is all here. */
export const KERNELS: readonly KernelEntry[] = [
  adamwEntry,
  ...attentionEntries,
  binaryEntry,
  gatherEntry,
  gegluEntry,
  gegluBackwardEntry,
  ...gemmEntries,
  ...groupNormEntries,
  ...groupNormBackwardEntries,
  lerpEntry,
  nonFiniteEntry,
  ...outerEntries,
  ...packEntries,
  resampleEntry,
  resampleBackwardEntry,
  ...rowEntries,
  ...rowBackwardEntries,
  scatterEntry,
  stridedCopyEntry,
  sumSquaresEntry,
  sumEntry,
  turnEntry,
  unaryEntry,
  unaryBackwardEntry,
  weightedSumEntry,
];
