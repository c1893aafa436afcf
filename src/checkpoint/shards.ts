import { JsonFault, JsonScanner } from "./json.ts";
import { refuse } from "./safetensors.ts";
import { malformed, quote, findTensor, type ByteSource, type TensorInfo, type TensorSource } from "./source.ts";
import { openTensors } from "./tensors.ts";

const MAX_SHARDS = 1000;

/**
 * Opens a checkpoint cut into several files by its index (`*.safetensors.index.json` or `*.bin.index.json`).
 * The index may name plain files of its own folder alone; each shard must hold exactly the tensors it is said to hold.
 * @param index - the index file's name and text
 * @param open - opens a file of the index's folder
 */
export async function openShards(
  index: { readonly name: string; readonly text: string },
  open: (file: string) => Promise<ByteSource>,
): Promise<TensorSource> {
  const weightMap = refuse(index.name, () => parseIndex(index.text));
  const files = [...new Set(weightMap.values())].sort();
  if (files.length > MAX_SHARDS)
    throw malformed(index.name, `names ${files.length} files, at most ${MAX_SHARDS} are allowed`);
  const shards = new Map<string, TensorSource>();
  const close = async () => void (await Promise.all([...shards.values()].map((shard) => shard.close())));
  try {
    for (const file of files) shards.set(file, await openTensors(await open(file)));
    const tensors = join(index.name, weightMap, shards);
    const metadata = new Map([...shards.values()].flatMap((shard) => [...shard.metadata]));
    const shardOf = (name: string): TensorSource => {
      findTensor(index.name, tensors, name);
      return shards.get(weightMap.get(name)!)!;
    };
    const read = async (name: string, offset?: number, length?: number) => shardOf(name).read(name, offset, length);
    return { name: index.name, tensors, metadata, read, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function parseIndex(text: string): Map<string, string> {
  const scanner = new JsonScanner(text);
  let weightMap: Map<string, string> | undefined;
  scanner.object("the index", (key) => {
    if (key !== "weight_map") return scanner.skip(`the index's ${quote(key)}`);
    const map = (weightMap = new Map());
    scanner.object("weight_map", (name) => map.set(name, plainFileName(scanner.string(`the file of ${quote(name)}`))));
  });
  if (!/^[ \t\r\n]*$/.test(scanner.rest())) throw new JsonFault("something follows the index's closing brace");
  if (!weightMap) throw new JsonFault("the index has no weight_map");
  return weightMap;
}

function plainFileName(file: string): string {
  if (/^[^/\\:\p{Cc}]+$/u.test(file) && !file.startsWith(".")) return file;
  throw new JsonFault(`weight_map names ${quote(file)}, which is not a plain file name`);
}

/** All tensors, shard after shard; fails unless index and shards name the same ones. */
function join(
  index: string,
  weightMap: ReadonlyMap<string, string>,
  shards: ReadonlyMap<string, TensorSource>,
): Map<string, TensorInfo> {
  const tensors = new Map<string, TensorInfo>();
  for (const [file, shard] of shards)
    for (const [name, tensor] of shard.tensors) {
      if (weightMap.get(name) !== file)
        throw malformed(index, `${quote(file)} holds ${quote(name)}, which the index does not place there`);
      tensors.set(name, tensor);
    }
  for (const [name, file] of weightMap)
    if (!tensors.has(name)) throw malformed(index, `${quote(file)} lacks ${quote(name)}, which the index places there`);
  return tensors;
}
