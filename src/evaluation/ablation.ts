import { ShapeError } from "../util/errors.ts";
import type { GrayImage, RgbImage } from "../vision/image.ts";
import { escape, number, STYLE, table } from "./report.ts";
import { psnr, ssim, SSIM } from "./similarity.ts";

/** One choice of everything that an ablation varies. */
export interface AblationCell {
  readonly fusion: string;
  /** Guidance. */
  readonly scale: number;
  readonly steps: number;
}

/** How near a picture comes to the true one. */
export interface AblationScores {
  readonly ssim: number;
  /** Decibels; the two are null in JSON for equal pictures. */
  readonly psnr: number | null;
  /** Of the pixels under the mask alone: the rest is put back by the try-on. */
  readonly psnrInside: number | null;
}

/** What came of one pair in one cell. Pictures are addresses, `data:` ones so that the page needs no other file. */
export interface AblationPicture {
  readonly picture: string;
  readonly scores: AblationScores;
}

/** A pair as the page shows it, and its picture in every cell. */
export interface AblationRow {
  readonly name: string;
  readonly person: string;
  readonly garment: string;
  readonly truth: string;
  /** In the order of the cells. */
  readonly pictures: readonly AblationPicture[];
}

/** Every combination, the last varying fastest. */
export const cellsOf = (
  fusions: readonly string[],
  scales: readonly number[],
  steps: readonly number[],
): AblationCell[] =>
  fusions.flatMap((fusion) => scales.flatMap((scale) => steps.map((count) => ({ fusion, scale, steps: count }))));

/** Compares a picture with the true one. @throws ShapeError for two sizes */
export function ablationScores(made: RgbImage, truth: RgbImage, mask: GrayImage): AblationScores {
  const finite = (value: number) => (Number.isFinite(value) ? value : null);
  const inside = psnrInside(made, truth, mask);
  return { ssim: ssim(made, truth, SSIM.torchmetrics), psnr: finite(psnr(made, truth)), psnrInside: finite(inside) };
}

function psnrInside(a: RgbImage, b: RgbImage, mask: GrayImage): number {
  if (mask.data.length * 3 !== a.data.length)
    throw new ShapeError("psnr", `mask of ${mask.width}x${mask.height} for a picture of ${a.width}x${a.height}`);
  let [sum, count] = [0, 0];
  for (const [i, value] of mask.data.entries()) {
    if (value < 128) continue;
    for (let c = 3 * i; c < 3 * i + 3; c++) sum += (a.data[c]! - b.data[c]!) ** 2;
    count += 3;
  }
  return -10 * Math.log10(sum / count / 255 ** 2);
}

/** Mean scores of each cell over all pairs. */
export function cellMeans(cells: readonly AblationCell[], rows: readonly AblationRow[]): AblationScores[] {
  return cells.map((_, i) => {
    const mean = (name: keyof AblationScores) =>
      rows.reduce((sum, { pictures }) => sum + (pictures[i]!.scores[name] ?? Infinity), 0) / rows.length;
    return { ssim: mean("ssim"), psnr: mean("psnr"), psnrInside: mean("psnrInside") };
  });
}

const title = "Ablation";
const nameOf = ({ fusion, scale, steps }: AblationCell) => `${fusion}, scale ${scale}, ${steps} steps`;

/** One page of HTML that needs no other file: mean scores of every cell, then every pair in every cell. */
export function ablationHtml(
  cells: readonly AblationCell[],
  rows: readonly AblationRow[],
  facts: Readonly<Record<string, string>>,
): string {
  const means = cellMeans(cells, rows);
  const scores = means.map((mean, i) => {
    const { fusion, scale, steps } = cells[i]!;
    return [fusion, String(scale), String(steps), number(mean.ssim), number(mean.psnr), number(mean.psnrInside)];
  });
  const figure = (address: string, caption: string) =>
    `<figure><img alt="" src="${escape(address)}"><figcaption>${escape(caption)}</figcaption></figure>`;
  const pairs = rows.map(({ name, person, garment, truth, pictures }) => {
    const given = [figure(person, "person"), figure(garment, "garment"), figure(truth, "truth")];
    const made = pictures.map(({ picture, scores: own }, i) =>
      figure(
        picture,
        `${nameOf(cells[i]!)}: SSIM ${number(own.ssim)}, PSNR inside ${number(own.psnrInside ?? Infinity)}`,
      ),
    );
    return `<h2>${escape(name)}</h2><div class="grid">${[...given, ...made].join("")}</div>`;
  });
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>${STYLE}</style>
<h1>${title}</h1>
<dl>${Object.entries(facts)
    .map(([name, value]) => `<dt>${escape(name)}<dd>${escape(value)}`)
    .join("")}</dl>
${table(["fusion", "scale", "steps", "SSIM ↑", "PSNR, dB ↑", "PSNR inside the mask, dB ↑"], scores)}
${pairs.join("\n")}
</html>
`;
}
