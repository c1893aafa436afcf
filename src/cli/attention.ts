import { join } from "node:path";
import { AttentionMaps, type AttentionReading } from "../models/fusion/attention_maps.ts";
import { encodePng } from "../node/images.ts";
import { attentionSheets } from "../pipelines/attention_sheets.ts";
import type { TryOnResult } from "../pipelines/inputs.ts";
import type { TryOnOptions } from "./options.ts";
import { say } from "./stderr.ts";

/** Those that every `--attention` writes. */
export const ATTENTION_FILES = ["share.png", "read.png", "match.png", "attention.json"] as const;

/** What watches a run, where `--attention` asks for it. */
export function mapsOf({ attention, attentionPoints = [], width, height }: TryOnOptions): AttentionMaps | undefined {
  if (attention === undefined) return undefined;
  return new AttentionMaps({
    points: attentionPoints.map(({ x, y }) => ({ x: (x + 0.5) / width, y: (y + 0.5) / height })),
  });
}

/** Sheets of heat maps, and what their columns and rows are; nothing, and a note, where the fusion handed over no keys. */
export async function attentionFiles(
  folder: string,
  maps: AttentionMaps,
  { images, garments }: TryOnResult,
): Promise<[path: string, bytes: Uint8Array][]> {
  const readings = await maps.readings();
  if (readings.length === 0) {
    say("toile: note: --attention shows nothing: this fusion reads no garment keys beside a block's own");
    return [];
  }
  const files: [string, Uint8Array][] = [];
  for (const [name, image] of attentionSheets(readings, { person: images[0]!, garments }))
    files.push([join(folder, `${name}.png`), await encodePng(image)]);
  const text = `${JSON.stringify(readings.map(summary), undefined, 2)}\n`;
  return [...files, [join(folder, "attention.json"), new TextEncoder().encode(text)]];
}

/** A reading in a few numbers. */
const summary = ({ block, pass, timestep, grid, garments }: AttentionReading) => ({
  ...{ block, pass, timestep, ...grid },
  shares: garments.map(({ share }) => share.reduce((sum, value) => sum + value, 0) / share.length),
});
