import { z } from "zod";
import type { DeviceFacts } from "../gpu/facts.ts";
import { storageType } from "../pipelines/load.ts";
import type { MemoryQuestion } from "../pipelines/memory.ts";
import { oneOf, whole } from "./options.ts";

/** Which run `doctor --memory` plans and `tune` times, beside its size. */
export const RunOptions = z.object({
  samples: whole(1, 64).default(1),
  dtype: oneOf(["auto", "f32", "f16"]).default("auto"),
  guidanceBatch: oneOf(["1", "2"]).default("2"),
});

/** Width and height of a size like 768x1024; undefined for what is none. */
export function sizeOf(text: string | undefined): { readonly width: number; readonly height: number } | undefined {
  const [width, height] =
    /^(\d+)x(\d+)$/
      .exec(text ?? "")
      ?.slice(1)
      .map(Number) ?? [];
  return width && height ? { width, height } : undefined;
}

/** The run that was asked for, with guidance. @throws InputError for a type that the device has not */
export function questionOf(
  op: string,
  facts: DeviceFacts,
  size: { readonly width: number; readonly height: number },
  { samples, dtype, guidanceBatch }: z.infer<typeof RunOptions>,
): MemoryQuestion {
  const batch = guidanceBatch === "1" ? 1 : 2;
  return { ...size, samples, dtype: storageType(op, facts, dtype), guided: true, guidanceBatch: batch };
}
