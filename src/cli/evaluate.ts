import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { evaluate, type Evaluation, type EvaluationInputs, type PictureFile } from "../evaluation/evaluate.ts";
import { inceptionFeatures, loadInception, loadLpips, lpipsDistance } from "../evaluation/networks.ts";
import { byKey, keyOf, ORDERS, PROTOCOLS, type ProtocolName } from "../evaluation/protocols.ts";
import { reportHtml, select, type Thumbnails } from "../evaluation/report.ts";
import type { Device } from "../gpu/device.ts";
import { LPIPS_NETS, type LpipsNet } from "../models/lpips/trunk.ts";
import { fileSource, reasonOf } from "../node/files.ts";
import { makeFolder } from "../node/folders.ts";
import { encodeJpeg, readImage, readText } from "../node/images.ts";
import { packageInfo } from "../node/package.ts";
import { InputError } from "../util/errors.ts";
import { resize } from "../vision/resize.ts";
import { adapterDevice } from "./device.ts";
import { EXIT, oneLine, type ExitCode } from "./errors.ts";
import { interruptible, type Interrupt } from "./interrupt.ts";
import { openJournal } from "./journal.ts";
import { measured, METRICS, refuseOther } from "./metrics.ts";
import { file, oneOf, parseOptions } from "./options.ts";
import { checkFolder, writeAll } from "./output.ts";
import { Progress } from "./progress.ts";
import { say } from "./stderr.ts";

/** Options as commander hands them over: strings and switches. */
export type EvaluateArguments = Readonly<Record<string, unknown>>;

const EvaluateOptions = z
  .object({
    generated: file,
    reference: file,
    protocol: oneOf(Object.keys(PROTOCOLS) as [ProtocolName, ...ProtocolName[]]),
    order: oneOf(ORDERS),
    lpips: file.optional(),
    lpipsNet: oneOf(LPIPS_NETS).optional(),
    lpipsWeights: file.optional(),
    inception: file.optional(),
    out: file,
    json: z.boolean().default(false),
  })
  .superRefine(({ lpips, lpipsWeights, inception, order }, context) => {
    const complain = (option: string, message: string) => context.addIssue({ code: "custom", path: [option], message });
    if (lpips !== undefined && lpipsWeights === undefined) complain("lpipsWeights", "is needed with --lpips");
    if (lpipsWeights !== undefined && lpips === undefined) complain("lpips", "is needed with --lpips-weights");
    if (order === "unpaired" && inception === undefined)
      complain("inception", "is needed: unpaired pictures are compared as sets alone");
  });

type EvaluateOptions = z.infer<typeof EvaluateOptions>;

const [REPORT, JOURNAL] = ["report.html", "progress.jsonl"];

/** `toile evaluate`: a folder of generated pictures beside one of references. */
export async function evaluateFolder(raw: EvaluateArguments): Promise<ExitCode> {
  const options = parseOptions(EvaluateOptions, raw);
  const { out, protocol, order } = options;
  await checkFolder(out, [METRICS, REPORT, JOURNAL]);
  await refuseOther(out, measured(protocol, order));
  const generated = await pictures(options.generated);
  const reference = await pictures(options.reference);
  for (const files of [generated, reference]) byKey(PROTOCOLS[protocol], files);
  const progress = new Progress();
  const left = `what was measured is kept in ${join(out, JOURNAL)}`;
  const work = (interrupt: Interrupt) => measure(options, generated, reference, interrupt, progress);
  return interruptible((interrupt) => work(interrupt).finally(() => progress.clear()), left);
}

async function measure(
  options: EvaluateOptions,
  generated: readonly PictureFile[],
  reference: readonly PictureFile[],
  interrupt: Interrupt,
  progress: Progress,
): Promise<ExitCode> {
  const { protocol, order, out } = options;
  const networks = await openNetworks(options);
  await makeFolder(out);
  const journal = await openJournal(join(out, JOURNAL));
  const onProgress = progress.update.bind(progress);
  const shared = { protocol, order, generated, reference, journal, onProgress };
  const evaluation = await evaluate({ ...shared, ...networks, signal: interrupt.signal });
  const facts = await factsOf(options, generated);
  const html = await page(options, evaluation, facts, generated, reference);
  const metrics = `${JSON.stringify({ ...evaluation, facts }, null, 2)}\n`;
  interrupt.finish();
  await journal.close();
  const bytes = (text: string) => new TextEncoder().encode(text);
  await writeAll([
    [join(out, METRICS), bytes(metrics)],
    [join(out, REPORT), bytes(html)],
  ]);
  progress.clear();
  const { scores, counts, skipped } = evaluation;
  const summary = { protocol, order, scores, counts, skipped, metrics: join(out, METRICS), report: join(out, REPORT) };
  process.stdout.write(options.json ? `${JSON.stringify(summary)}\n` : text(evaluation, join(out, REPORT)));
  if (skipped.length === 0) return EXIT.ok;
  const total = generated.length + reference.length;
  say(oneLine(`toile: ${skipped.length} of ${total} files skipped\n${skipped.map(line).join("\n")}`));
  return EXIT.failed;
}

const line = ({ file, why }: Evaluation["skipped"][number]) => (why.includes(file) ? why : `${file} ${why}`);

const netOf = ({ lpipsNet, protocol }: EvaluateOptions): LpipsNet => lpipsNet ?? PROTOCOLS[protocol].lpips;

/** The networks that the order asks for; a device is needed for them alone. */
async function openNetworks(options: EvaluateOptions): Promise<Pick<EvaluationInputs, "lpips" | "inception">> {
  const trunk = options.order === "paired" ? options.lpips : undefined;
  if (trunk !== options.lpips) say("toile: note: --lpips is not used: unpaired pictures have none to be compared with");
  const [net, weights] = [netOf(options), options.lpipsWeights];
  let opened: Promise<Device> | undefined;
  const device = () => (opened ??= adapterDevice());
  const found: { -readonly [name in "lpips" | "inception"]?: EvaluationInputs[name] } = {};
  if (trunk !== undefined && weights !== undefined) {
    const id = `${net} ${await sha256(trunk)} ${await sha256(weights)}`;
    const [gpu, files] = [await device(), { trunk: await fileSource(trunk), weights: await fileSource(weights) }];
    const model = await loadLpips(gpu, net, files);
    found.lpips = { id, measure: (a, b) => lpipsDistance(gpu, model, a, b) };
  }
  if (options.inception !== undefined) {
    const id = await sha256(options.inception);
    const gpu = await device();
    const model = await loadInception(gpu, await fileSource(options.inception));
    found.inception = { id, measure: (image) => inceptionFeatures(gpu, model, image) };
  }
  return found;
}

/** The pictures of a folder and of those inside it, in the order of their names. */
async function pictures(folder: string): Promise<PictureFile[]> {
  const names = await readdir(folder, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    throw new InputError(folder, reasonOf(error), { cause: error });
  });
  const files = names.filter((name) => /\.(png|jpe?g|webp)$/i.test(name)).sort();
  if (files.length === 0) throw new InputError(folder, "there is no picture in it (png, jpg or webp)");
  return files.map((name) => {
    const path = join(folder, name);
    return { name, digest: () => sha256(path), read: () => readImage(path) };
  });
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const part of createReadStream(path)) hash.update(part as Buffer);
  } catch (error) {
    throw new InputError(path, reasonOf(error as NodeJS.ErrnoException), { cause: error });
  }
  return hash.digest("hex");
}

/** What a number means nothing without. */
async function factsOf(options: EvaluateOptions, generated: readonly PictureFile[]): Promise<Record<string, string>> {
  const { lpips, lpipsWeights, inception } = options;
  const given = Object.entries({ "LPIPS network": lpips, "LPIPS weights": lpipsWeights, Inception: inception });
  const weights = given.flatMap(([name, path]) => (path === undefined ? [] : [[name, path.replace(/^.*[/\\]/, "")]]));
  const repaint = await repaintOf(join(options.generated, generated[0]!.name));
  const net = netOf(options);
  const own = net === PROTOCOLS[options.protocol].lpips ? net : `${net}, which is not the protocol's`;
  const measured = lpips === undefined ? {} : { LPIPS: own };
  return { repaint, ...measured, ...Object.fromEntries(weights), toile: packageInfo().version };
}

/** Whether the person was put back outside the mask, which moves FID a lot: our own pictures say it. */
async function repaintOf(path: string): Promise<string> {
  try {
    const settings = JSON.parse((await readText(path))["toile"] ?? "{}") as { repaint?: unknown };
    return typeof settings.repaint === "boolean" ? String(settings.repaint) : "not said by the pictures";
  } catch {
    return "not said by the pictures"; // a damaged picture is named elsewhere
  }
}

const THUMBNAIL = { height: 160, quality: 80 };

async function page(
  { protocol, order }: EvaluateOptions,
  evaluation: Evaluation,
  facts: Readonly<Record<string, string>>,
  generated: readonly PictureFile[],
  reference: readonly PictureFile[],
): Promise<string> {
  const references = byKey(PROTOCOLS[protocol], reference);
  const unreadable = new Set(evaluation.skipped.map(({ file }) => file));
  const selection = select(
    evaluation,
    generated.map(({ name }) => name).filter((name) => !unreadable.has(name)),
  );
  const shown = new Set([...selection.worst, ...selection.best].map(({ name }) => name).concat(selection.sample));
  const thumbnails = new Map<string, Thumbnails>();
  for (const picture of generated.filter(({ name }) => shown.has(name))) {
    const other = references.get(keyOf(PROTOCOLS[protocol], picture.name));
    const beside = other && (await thumbnail(other).catch(() => undefined)); // named among the skipped
    thumbnails.set(picture.name, { generated: await thumbnail(picture), ...(beside && { reference: beside }) });
  }
  return reportHtml(evaluation, selection, { title: `Evaluation: ${protocol}, ${order}`, facts, thumbnails });
}

async function thumbnail(picture: PictureFile): Promise<string> {
  const image = await picture.read();
  const { height, quality } = THUMBNAIL;
  const width = Math.max(1, Math.round((image.width * height) / image.height));
  const bytes = await encodeJpeg(resize(image, width, height, "bicubic"), quality);
  return `data:image/jpeg;base64,${Buffer.from(bytes).toString("base64")}`;
}

function text({ scores, counts }: Evaluation, report: string): string {
  const lines = Object.entries(scores).map(([name, value]) => `${name.padEnd(20)}${value.toFixed(4)}`);
  const resumed = counts.resumed > 0 ? `, ${counts.resumed} known from before` : "";
  const unmatched = counts.unmatched > 0 ? `, ${counts.unmatched} references without a result` : "";
  return `${[...lines, `${counts.measured} measured${resumed}${unmatched}`, report].join("\n")}\n`;
}
