import { byteLengthOf } from "./dtypes.ts";
import { PickleEnd, PickleFault, PyDict, PyList, unpickle, type PyValue } from "./pickle.ts";
import {
  checkPart,
  findTensor,
  malformed,
  quote,
  type ByteSource,
  type TensorInfo,
  type TensorSource,
} from "./source.ts";
import { gather, isContiguous, spanOf } from "./strided.ts";
import { collectTensors, TensorHost, type StorageRef, type TensorRef } from "./tensor_pickle.ts";
import { locateEntry, readZip, type ZipEntry } from "./zip.ts";

const MAX_PICKLE = 8 * 2 ** 20;
/** A view that is not contiguous is read as one span of its storage. */
const MAX_SPAN = 2 ** 30;
const MAGIC = 0x1950a86a20f9469cfc6cn;

/** Where each storage begins in the file. */
type Locate = (storage: StorageRef) => Promise<number>;

interface PickledTensor extends TensorInfo {
  readonly ref: TensorRef;
}

/**
 * Opens what `torch.save` writes (`.bin`, `.pth`, `.ckpt`): the zip format, and the one before PyTorch 1.6. Nothing
 * is executed: a file that needs more than tensors and plain containers is refused, and so is one whose storages do
 * not fit it. Tensors are read one by one; views that are not contiguous come out in row-major order.
 * @throws FormatError in one line that names the file
 */
export async function openPickle(source: ByteSource): Promise<TensorSource> {
  if (source.size < 32) throw malformed(source.name, `${source.size} bytes are too few for a PyTorch file`);
  const signature = new DataView((await source.read(0, 4)).buffer).getUint32(0, true);
  const opened = signature === 0x04034b50 ? await openZip(source) : await openLegacy(source);
  const tensors = new Map<string, PickledTensor>();
  for (const [name, ref] of opened.tensors) {
    const { shape, storage } = ref;
    tensors.set(name, { name, dtype: storage.dtype, shape, byteLength: byteLengthOf(storage.dtype, shape)!, ref });
  }
  return {
    name: source.name,
    tensors,
    metadata: new Map(),
    read: async (name, offset = 0, length) => {
      const tensor = findTensor(source.name, tensors, name);
      const wanted = length ?? tensor.byteLength - offset;
      checkPart(source.name, tensor, offset, wanted);
      return readTensor(source, tensor, offset, wanted, opened.locate);
    },
    close: async () => source.close?.(),
  };
}

async function readTensor(
  source: ByteSource,
  { name, ref, byteLength }: PickledTensor,
  offset: number,
  length: number,
  locate: Locate,
): Promise<Uint8Array<ArrayBuffer>> {
  if (byteLength === 0) return new Uint8Array(0);
  const { itemBytes } = ref.storage;
  const start = (await locate(ref.storage)) + ref.offset * itemBytes;
  if (isContiguous(ref)) return source.read(start + offset, length);
  const span = spanOf(ref) * itemBytes;
  if (span > MAX_SPAN)
    throw malformed(
      source.name,
      `tensor ${quote(name)} is a view spread over ${span} bytes, at most ${MAX_SPAN} are read`,
    );
  const whole = gather(await source.read(start, span), itemBytes, ref);
  return length === byteLength ? whole : whole.slice(offset, offset + length);
}

/** Turns a pickle's fault into a refusal that names the file. */
function refuse<T>(file: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof PickleFault) throw malformed(file, error.message);
    throw error;
  }
}

interface Opened {
  readonly tensors: ReadonlyMap<string, TensorRef>;
  readonly locate: Locate;
}

async function openZip(source: ByteSource): Promise<Opened> {
  const entries = await readZip(source);
  const pickles = [...entries.values()].filter(({ name }) => /^[^/]+\/data\.pkl$/.test(name));
  const [pickle] = pickles;
  if (!pickle || pickles.length > 1)
    throw malformed(source.name, `a zip archive with ${pickles.length} data.pkl; a PyTorch file has one`);
  const root = pickle.name.slice(0, -"data.pkl".length);
  if (entries.has(`${root}constants.pkl`)) throw malformed(source.name, "a TorchScript program, not a checkpoint");
  const order = entries.get(`${root}byteorder`);
  if (order && new TextDecoder().decode(await readEntry(source, order, 16)) !== "little")
    throw malformed(source.name, "a file of a big-endian machine");
  const bytes = await readEntry(source, pickle, MAX_PICKLE);
  const host = new TensorHost();
  const tensors = refuse(source.name, () => {
    const { value, end } = unpickle(bytes, 0, host);
    if (end !== bytes.length) throw new PickleFault(`${bytes.length - end} bytes follow the pickle`);
    return collectTensors(value);
  });
  for (const storage of host.storages.values()) checkEntry(source.name, root, entries, storage);
  const places = new Map<StorageRef, Promise<number>>();
  const locate: Locate = (storage) => {
    const place = places.get(storage) ?? locateEntry(source, entries.get(`${root}data/${storage.key}`)!);
    places.set(storage, place);
    return place;
  };
  return { tensors, locate };
}

function checkEntry(file: string, root: string, entries: ReadonlyMap<string, ZipEntry>, storage: StorageRef): void {
  const entry = entries.get(`${root}data/${storage.key}`);
  const wanted = storage.count * storage.itemBytes;
  if (!entry) throw malformed(file, `storage ${quote(storage.key)} is missing`);
  if (entry.size !== wanted)
    throw malformed(
      file,
      `storage ${quote(storage.key)} has ${entry.size} bytes, ${storage.count} elements of ${storage.dtype} need ${wanted}`,
    );
}

async function readEntry(source: ByteSource, entry: ZipEntry, most: number): Promise<Uint8Array> {
  if (entry.size > most)
    throw malformed(source.name, `zip entry ${quote(entry.name)} has ${entry.size} bytes, at most ${most} are read`);
  return source.read(await locateEntry(source, entry), entry.size);
}

/** Five pickles (magic number, version, machine, checkpoint, storage keys), then each storage behind its count. */
async function openLegacy(source: ByteSource): Promise<Opened> {
  const { tensors, storages, end } = await readLegacyPickles(source);
  const places = new Map<StorageRef, number>();
  let at = end;
  for (const storage of storages) {
    const bytes = storage.count * storage.itemBytes;
    if (at + 8 + bytes > source.size)
      throw malformed(
        source.name,
        `truncated: storage ${quote(storage.key)} ends at ${at + 8 + bytes}, the file has ${source.size} bytes`,
      );
    const count = new DataView((await source.read(at, 8)).buffer).getBigInt64(0, true);
    if (count !== BigInt(storage.count))
      throw malformed(
        source.name,
        `storage ${quote(storage.key)} has ${count} elements, the pickle says ${storage.count}`,
      );
    places.set(storage, at + 8);
    at += 8 + bytes;
  }
  if (at !== source.size) throw malformed(source.name, `${source.size - at} bytes follow the last storage`);
  return { tensors, locate: async (storage) => places.get(storage)! };
}

interface LegacyPickles {
  readonly tensors: ReadonlyMap<string, TensorRef>;
  /** In the order in which they lie in the file. */
  readonly storages: readonly StorageRef[];
  readonly end: number;
}

/** Reads from a window that grows until the pickles end inside it: nothing says how long they are. */
async function readLegacyPickles(source: ByteSource): Promise<LegacyPickles> {
  for (let length = 2 ** 18; ; length *= 8) {
    const window = await source.read(0, Math.min(length, source.size, MAX_PICKLE));
    const parsed = refuse(source.name, () => {
      try {
        return parseLegacy(window);
      } catch (error) {
        if (!(error instanceof PickleEnd)) throw error;
        if (window.length === source.size) throw new PickleFault("truncated: the pickle breaks off");
        if (window.length === MAX_PICKLE) throw new PickleFault(`its pickles take more than ${MAX_PICKLE} bytes`);
        return undefined;
      }
    });
    if (parsed) return parsed;
  }
}

function parseLegacy(bytes: Uint8Array): LegacyPickles {
  const host = new TensorHost();
  let end = 0;
  const next = (): PyValue => {
    const read = unpickle(bytes, end, host);
    end = read.end;
    return read.value;
  };
  if (bytes[0] !== 0x80 || next() !== MAGIC)
    throw new PickleFault("not a PyTorch file: neither a zip archive nor PyTorch's magic number");
  const version = next();
  if (version !== 1001) throw new PickleFault(`PyTorch's protocol version ${String(version)} instead of 1001`);
  const machine = next();
  if (!(machine instanceof PyDict) || machine.values[machine.keys.indexOf("little_endian")] !== true)
    throw new PickleFault("a file of a big-endian machine");
  const root = next();
  const keys = next();
  const storages = keys instanceof PyList ? keys.items.map((key) => host.storages.get(key as string)) : [];
  const distinct = new Set(storages);
  if (storages.includes(undefined) || distinct.size !== storages.length || distinct.size !== host.storages.size)
    throw new PickleFault("its list of storages differs from the storages that its tensors use");
  return { tensors: collectTensors(root), storages: storages as StorageRef[], end };
}
