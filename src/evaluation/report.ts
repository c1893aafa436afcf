import { SSIM } from "./similarity.ts";
import type { Evaluation, ImageScores } from "./evaluate.ts";
import { PROTOCOLS } from "./protocols.ts";

/** Pictures shown of each kind, and in the sample. */
const SHOWN = 8;
const SAMPLE = 24;

/** Addresses of small pictures, by the generated picture's name. */
export interface Thumbnails {
  readonly generated: string;
  readonly reference?: string;
}

export interface ReportOptions {
  readonly title: string;
  /** Further lines of the head: what was measured with what. */
  readonly facts: Readonly<Record<string, string>>;
  /** As `data:` addresses, so that the page needs no other file. */
  readonly thumbnails: ReadonlyMap<string, Thumbnails>;
}

/** What a page shows of an evaluation. */
export interface Selection {
  readonly worst: readonly ImageScores[];
  readonly best: readonly ImageScores[];
  readonly sample: readonly string[];
}

/** The worst and best by LPIPS, or by SSIM where there is no LPIPS, and some of all, evenly. */
export function select({ images }: Evaluation, generated: readonly string[]): Selection {
  const loss = (image: ImageScores) => image.lpips ?? 1 - image.ssim;
  const ranked = [...images].sort((a, b) => loss(b) - loss(a));
  const half = Math.min(SHOWN, Math.floor(ranked.length / 2));
  const step = Math.max(1, generated.length / SAMPLE);
  const sample = Array.from({ length: Math.min(SAMPLE, generated.length) }, (_, i) => generated[Math.floor(i * step)]!);
  return { worst: ranked.slice(0, half), best: ranked.slice(ranked.length - half).reverse(), sample };
}

const NAMES: Readonly<Record<string, string>> = {
  ssim: "SSIM ↑",
  ssimTorchmetrics14: "SSIM, torchmetrics ≤ 1.4 ↑",
  ssimSkimage: "SSIM, scikit-image ↑",
  psnr: "PSNR, dB ↑",
  lpips: "LPIPS ↓",
  fid: "FID ↓",
  kid: "KID ↓",
};

/** One page of HTML that needs no other file. */
export function reportHtml(evaluation: Evaluation, selection: Selection, options: ReportOptions): string {
  const { protocol, order, scores, images, skipped, counts } = evaluation;
  const unmatched = counts.unmatched > 0 ? ` (${counts.unmatched} without a result)` : "";
  const pictures = [
    `${counts.generated} generated`,
    `${counts.reference} references${unmatched}`,
    `${skipped.length} skipped`,
  ];
  const { resizing, kidScale } = PROTOCOLS[protocol];
  const facts = {
    protocol: `${protocol}, ${order}`,
    pictures: pictures.join(", "),
    resizing,
    ...(scores.kid !== undefined && { KID: kidScale === 1 ? "as it is" : `times ${kidScale}` }),
    SSIM: `Gaussian window of ${SSIM.torchmetrics.window.length}, σ 1.5 (torchmetrics); uniform of ${SSIM.skimage.window.length} (scikit-image)`,
    ...options.facts,
  };
  const figures = (names: readonly string[]) =>
    names.map((name) => figure(name, options.thumbnails.get(name), images)).join("");
  const group = (title: string, names: readonly string[]) =>
    names.length ? `<h2>${title}</h2><div class="grid">${figures(names)}</div>` : "";
  const namesOf = (list: readonly ImageScores[]) => list.map(({ name }) => name);
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escape(options.title)}</title>
<style>${STYLE}</style>
<h1>${escape(options.title)}</h1>
<dl>${Object.entries(facts)
    .map(([name, value]) => `<dt>${escape(name)}<dd>${escape(value)}`)
    .join("")}</dl>
${table(
  ["", "mean"],
  Object.entries(scores).map(([name, value]) => [NAMES[name] ?? name, number(value)]),
)}
${group("Worst", namesOf(selection.worst))}${group("Best", namesOf(selection.best))}${group("Sample", selection.sample)}
${
  skipped.length
    ? `<h2>Skipped</h2>${table(
        ["file", "why"],
        skipped.map(({ file, why }) => [file, why]),
      )}`
    : ""
}
${images.length ? `<h2>Every picture</h2>${perImage(images)}` : ""}
</html>
`;
}

function perImage(images: readonly ImageScores[]): string {
  const scores = Object.keys(NAMES).filter((name) => name in images[0]!) as (keyof ImageScores)[];
  const rows = images.map((image) => [image.name, image.reference, ...scores.map((name) => number(image[name]))]);
  return table(["generated", "reference", ...scores.map((name) => NAMES[name]!)], rows);
}

function figure(name: string, shown: Thumbnails | undefined, images: readonly ImageScores[]): string {
  if (!shown) return "";
  const scores = images.find((image) => image.name === name);
  const pictures = [shown.reference, shown.generated]
    .filter((address) => address !== undefined)
    .map((address) => `<img alt="" src="${escape(address)}">`);
  const values = scores
    ? Object.entries({ SSIM: scores.ssim, LPIPS: scores.lpips }).map(([label, value]) =>
        value === undefined ? "" : ` ${label} ${number(value)}`,
      )
    : [];
  return `<figure>${pictures.join("")}<figcaption>${escape(name)}${values.join("")}</figcaption></figure>`;
}

/** Rows under a head. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[], tag: "td" | "th") =>
    `<tr>${cells.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join("")}</tr>`;
  return `<table>${line(head, "th")}${rows.map((cells) => line(cells, "td")).join("")}</table>`;
}

/** Four digits after the point. */
export const number = (value: unknown): string =>
  typeof value === "number" && Number.isFinite(value) ? value.toFixed(4) : String(value);

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
/** Text as HTML shows it. */
export const escape = (text: string): string => text.replace(/[&<>"]/g, (character) => ENTITIES[character]!);

/** Of the pages. */
export const STYLE = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 1100px; margin: 2rem auto; padding: 0 1rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem } dt { opacity: .7 } dd { margin: 0 }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; border-bottom: 1px solid #8884 }
.grid { display: flex; flex-wrap: wrap; gap: 1rem } figure { margin: 0; max-width: 260px }
img { height: 160px; margin-right: 2px } figcaption { font-size: 12px; overflow-wrap: anywhere }`;
