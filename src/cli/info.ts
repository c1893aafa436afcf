import { dirname, join } from "node:path";
import { openShards } from "../checkpoint/shards.ts";
import { quote, type TensorSource } from "../checkpoint/source.ts";
import { openTensors } from "../checkpoint/tensors.ts";
import { directory, fileSource } from "../node/files.ts";
import { EXIT, type ExitCode } from "./errors.ts";
import { guess, type Guess } from "./guess.ts";

/** What `toile info --json` prints. */
export interface Info {
  readonly file: string;
  readonly guess: Guess;
  readonly tensors: number;
  /** Elements of all tensors. */
  readonly parameters: number;
  readonly bytes: number;
  /** Elements by type. */
  readonly dtypes: Readonly<Record<string, number>>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** `toile info FILE`: reads every header byte of a checkpoint strictly and says what it holds. */
export async function info(file: string, { json = false }: { readonly json?: boolean }): Promise<ExitCode> {
  const source = await open(file);
  try {
    const found = describe(file, source);
    process.stdout.write(json ? `${JSON.stringify(found)}\n` : text(found));
  } finally {
    await source.close();
  }
  return EXIT.ok;
}

async function open(file: string): Promise<TensorSource> {
  if (!/\.index(\.fp16)?\.json$/.test(file)) return openTensors(await fileSource(file));
  const index = await fileSource(file);
  const bytes = await index.read(0, index.size);
  await index.close();
  return openShards({ name: file, text: new TextDecoder().decode(bytes) }, (shard) =>
    directory(dirname(file)).open(shard),
  );
}

function describe(file: string, { tensors, metadata }: TensorSource): Info {
  const dtypes: Record<string, number> = {};
  let [parameters, bytes] = [0, 0];
  for (const tensor of tensors.values()) {
    const count = tensor.shape.reduce((product, size) => product * size, 1);
    parameters += count;
    bytes += tensor.byteLength;
    dtypes[tensor.dtype] = (dtypes[tensor.dtype] ?? 0) + count;
  }
  return {
    file: join(file),
    guess: guess(tensors),
    tensors: tensors.size,
    parameters,
    bytes,
    dtypes,
    metadata: Object.fromEntries(metadata),
  };
}

function text({ file, guess: { what }, tensors, parameters, bytes, dtypes, metadata }: Info): string {
  const types = Object.entries(dtypes).map(([dtype, count]) => `${dtype}${percent(count, parameters)}`);
  const rows: [string, string][] = [
    ["file", quote(file).slice(1, -1)],
    ["holds", what],
    ["tensors", group(tensors)],
    ["parameters", group(parameters)],
    ["bytes", group(bytes)],
    ["types", types.join(", ") || "none"],
    ...Object.entries(metadata).map(([key, value]): [string, string] => ["metadata", `${quote(key)}: ${quote(value)}`]),
  ];
  return rows.map(([name, value]) => `${name.padEnd(12)}${value}\n`).join("");
}

const group = (value: number) => value.toLocaleString("en-US");
const percent = (part: number, whole: number) =>
  part === whole ? "" : ` ${((100 * part) / Math.max(1, whole)).toFixed(1)} %`;
