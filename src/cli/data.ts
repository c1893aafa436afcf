import { z } from "zod";
import { checkDataset, type DatasetReport, type Problem } from "../node/data/check.ts";
import { defaultWorkers, openPool } from "../node/data/pool.ts";
import { prepareSet, writeLists, type WriteOptions } from "../node/data/write.ts";
import { EXIT, type ExitCode } from "./errors.ts";
import { interruptible } from "./interrupt.ts";
import { file, oneOf, parseOptions, whole } from "./options.ts";
import { checkFolder } from "./output.ts";
import { Progress } from "./progress.ts";

/** Options as commander hands them over: strings and switches. */
export type DataArguments = Readonly<Record<string, unknown>>;

const CATEGORIES = ["upperbody", "lowerbody", "dress"] as const;

const workers = whole(0, 64).default(defaultWorkers());

const DrawOptions = z
  .object({
    out: file,
    pairs: whole(1, 1_000_000),
    test: whole(0, 1_000_000).optional(),
    seed: whole(0, Number.MAX_SAFE_INTEGER),
    width: whole(16, 4096),
    height: whole(16, 4096),
    categories: z
      .string()
      .transform((names) => names.split(",").map((name) => name.trim()))
      .pipe(z.array(z.enum(CATEGORIES, { error: `is not a list of ${CATEGORIES.join(",")}` })).min(1)),
    framing: oneOf(["whole", "half"]),
    model: oneOf(["hd", "dc"]),
    format: oneOf(["jpg", "png"]),
    workers,
    json: z.boolean().default(false),
  })
  .superRefine(({ framing, categories, pairs, test }, context) => {
    const complain = (option: string, message: string) => context.addIssue({ code: "custom", path: [option], message });
    if (framing === "half" && categories.some((category) => category !== "upperbody"))
      complain("framing", "needs --categories upperbody");
    if (test !== undefined && test > pairs) complain("test", "is more than --pairs");
  });

/** `toile data draw`: a drawn set in Dress Code's folders. */
export async function draw(raw: DataArguments): Promise<ExitCode> {
  return interruptible(async () => drawSet(raw), "the pairs that were drawn are in no list");
}

async function drawSet(raw: DataArguments): Promise<ExitCode> {
  const { out, pairs, test, workers, json, model, ...rest } = parseOptions(DrawOptions, raw);
  const options: WriteOptions = { ...rest, length: pairs, test: test ?? Math.floor(pairs / 10), mask: { model } };
  await checkFolder(out);
  const began = performance.now();
  const progress = new Progress();
  const pool = openPool(workers);
  try {
    await prepareSet(out, options);
    let [next, done] = [0, 0];
    const lane = async () => {
      for (let index = next++; index < pairs; index = next++) {
        await pool.run({ do: "write", root: out, index, options });
        progress.update("draw", ++done, pairs);
      }
    };
    await Promise.all(Array.from({ length: 4 * Math.max(1, workers) }, lane));
    await writeLists(out, options);
  } finally {
    progress.clear();
    await pool.close();
  }
  const seconds = (performance.now() - began) / 1000;
  const report = { out, pairs, test: options.test, seed: options.seed, pairsPerSecond: Math.round(pairs / seconds) };
  process.stdout.write(
    json
      ? `${JSON.stringify(report)}\n`
      : `${out}  ${pairs} pairs, ${options.test} of them for testing, ${report.pairsPerSecond} a second\n`,
  );
  return EXIT.ok;
}

const CheckOptions = z.object({ decode: z.boolean(), workers, json: z.boolean().default(false) });

/** `toile data check`: what a set holds, and every file of it that is missing, misnamed or damaged. */
export async function check(folder: string, raw: DataArguments): Promise<ExitCode> {
  return interruptible(async () => checkSet(folder, raw), "nothing was changed");
}

async function checkSet(folder: string, raw: DataArguments): Promise<ExitCode> {
  const { decode, workers, json } = parseOptions(CheckOptions, raw);
  const progress = new Progress();
  const pool = openPool(workers);
  try {
    const report = await checkDataset(folder, {
      decode,
      run: async (task) => (await pool.run({ do: "check", task })) as readonly Problem[],
      onProgress: (done, total) => progress.update("check", done, total),
    });
    progress.clear();
    process.stdout.write(json ? `${JSON.stringify(report)}\n` : text(folder, report));
    return report.problems.length === 0 ? EXIT.ok : EXIT.failed;
  } finally {
    progress.clear();
    await pool.close();
  }
}

function text(folder: string, { layout, lists, masks, files, problems }: DatasetReport): string {
  const rows = lists.map(
    ({ split, order, category, pairs, list }) =>
      `${split.padEnd(7)}${order.padEnd(10)}${category.padEnd(11)}${String(pairs).padStart(8)} pairs  ${list}`,
  );
  const found = problems.map(({ file: name, what }) => `${name}: ${what}`);
  const sum = problems.length === 0 ? "no problem" : `${problems.length} problem${problems.length > 1 ? "s" : ""}`;
  const sources = masks.length === 0 ? "none" : masks.map((name) => `--masks ${name}`).join(", ");
  return [`${folder}  ${layout}`, ...rows, `masks: ${sources}`, ...found, `${files} files, ${sum}`, ""].join("\n");
}
