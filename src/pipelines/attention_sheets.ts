import type { AttentionReading, GarmentReading } from "../models/fusion/attention_maps.ts";
import { enlarged, heatMap } from "../vision/heat_map.ts";
import { toGray, type RgbImage } from "../vision/image.ts";
import { resize } from "../vision/resize.ts";
import { sheet } from "../vision/sheet.ts";

/** The pictures that were read: of one size. */
export interface ReadPictures {
  /** The result, or the person before it. */
  readonly person: RgbImage;
  /** As the network saw them (`TryOnResult.garments`). */
  readonly garments: readonly RgbImage[];
}

/** Pixels: a sheet of sixteen blocks and twenty steps is still a picture that opens. */
const TILE = 192;

/**
 * What was read as sheets of heat maps, a column for each block and a row for each pass: `share` (how much each person
 * pixel reads of the garment), `read` (how much each garment pixel is read), `match` (each person pixel in the colour of
 * the garment at the mean place that it reads), and `point-1`, … (what each of the points reads). Of further garments
 * under `share-2`, … Every tile has its own scale.
 */
export function attentionSheets(
  readings: readonly AttentionReading[],
  { person, garments }: ReadPictures,
): Map<string, RgbImage> {
  const shown = small(person);
  const sheets = new Map<string, RgbImage>();
  const blocks = [...new Set(readings.map(({ block }) => block))].sort((a, b) => a - b);
  const blank = { ...shown, data: new Uint8Array(shown.data.length) };
  for (const [g, garment] of garments.map(small).entries()) {
    const tiles = { person: shown, garment };
    const add = (name: string, draw: (reading: GarmentReading, of: AttentionReading) => RgbImage) => {
      const tile = (reading: AttentionReading) => (reading.garments[g] ? draw(reading.garments[g], reading) : blank);
      const columns = blocks.map((block) => readings.filter((reading) => reading.block === block).map(tile));
      sheets.set(g === 0 ? name : `${name}-${g + 1}`, sheet(columns));
    };
    add("share", ({ share: values }, { grid }) => heatMap({ ...grid, values }, shown));
    add("read", ({ read: values }, { grid }) => heatMap({ ...grid, values }, garment));
    add("match", (reading, of) => matched(reading, of, tiles));
    const points = readings[0]?.garments[g]?.points.length ?? 0;
    for (let p = 0; p < points; p++)
      add(`point-${p + 1}`, ({ points: all }, { grid }) => heatMap({ ...grid, values: all[p]! }, garment));
  }
  return sheets;
}

function small(image: RgbImage): RgbImage {
  const height = Math.min(TILE, image.height);
  return resize(image, Math.max(1, Math.round((image.width * height) / image.height)), height, "bilinear");
}

/** The garment's colours where the person reads them, as strong as the share of what reads most. */
function matched(
  { share, x, y }: GarmentReading,
  { grid }: AttentionReading,
  { person, garment }: { readonly person: RgbImage; readonly garment: RgbImage },
): RgbImage {
  const { width, height } = person;
  const [shares, xs, ys] = [share, x, y].map((values) => enlarged({ ...grid, values }, width, height)) as [Float32Array, Float32Array, Float32Array]; // prettier-ignore
  const most = share.reduce((a, b) => Math.max(a, b), 0) || 1;
  const gray = toGray(person).data;
  const data = new Uint8Array(3 * width * height);
  const pixel = (at: number, count: number) => Math.min(count - 1, Math.max(0, Math.floor(at * count)));
  for (let i = 0; i < gray.length; i++) {
    const from = pixel(ys[i]!, garment.height) * garment.width + pixel(xs[i]!, garment.width);
    const strength = Math.min(1, shares[i]! / most);
    for (let c = 0; c < 3; c++)
      data[3 * i + c] = Math.round(strength * garment.data[3 * from + c]! + ((1 - strength) * gray[i]!) / 2);
  }
  return { width, height, data };
}
