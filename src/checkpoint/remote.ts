import { InputError } from "../util/errors.ts";
import {
  contentRange,
  Died,
  download,
  head,
  persist,
  request,
  versionOf,
  type ByteStore,
  type DownloadOptions,
  type Expected,
} from "./download.ts";
import { bytesSource, checkRange, malformed, quote, type ByteSource, type Folder } from "./source.ts";

export type { ByteStore, DownloadOptions, StoredBytes } from "./download.ts";

const WHOLE = 2 ** 30; // bytes: larger files are read by ranges, and their hashes are not checked

/** How a folder's files are fetched. */
export interface RemoteOptions extends Omit<DownloadOptions, "signal"> {
  /**
   * Aborts what is fetched, then and later: a pipeline that offloads its networks reads them again at every run. A
   * function is asked at each fetch, so that each run can have a signal of its own.
   */
  readonly signal?: AbortSignal | (() => AbortSignal | undefined) | undefined;
}

interface Manifest {
  readonly files: readonly Expected[];
}

function parseManifest(name: string, text: string): ReadonlyMap<string, Expected> {
  let files: unknown;
  try {
    files = (JSON.parse(text) as Partial<Manifest> | null)?.files;
  } catch (cause) {
    throw new InputError(name, "is no JSON", { cause });
  }
  if (!Array.isArray(files) || !files.every((file: Partial<Expected> | null) => typeof file?.path === "string"))
    throw malformed(name, "lists no files: { files: [{ path, bytes, sha256 }] } is needed");
  return new Map((files as { path: string }[]).map((file) => [file.path, entry(name, file)]));
}

/** @throws FormatError for a size or a hash that is none */
function entry(
  name: string,
  { path, bytes, sha256 }: Record<"path", string> & Partial<Record<string, unknown>>,
): Expected {
  const isSize = bytes === undefined || (Number.isSafeInteger(bytes) && Number(bytes) >= 0);
  if (!isSize) throw malformed(name, `bytes of ${quote(path)} is ${JSON.stringify(bytes)}, a whole number is needed`);
  const isHash = sha256 === undefined || (typeof sha256 === "string" && /^[0-9a-f]{64}$/i.test(sha256));
  if (!isHash)
    throw malformed(name, `sha256 of ${quote(path)} is ${JSON.stringify(sha256)}, 64 hexadecimal digits are needed`);
  return { path, bytes: bytes as number | undefined, sha256: (sha256 as string | undefined)?.toLowerCase() };
}

/**
 * A checkpoint's folder on a server. With a `manifest.json` in it (`{ files: [{ path, bytes, sha256 }] }`) files are
 * known beforehand and held against it; without one each is asked for. Files up to 1 GiB are fetched whole, once,
 * larger ones by ranges as their tensors are read.
 * @param url of the folder
 * @throws InputError naming the URL that cannot be had, FormatError naming the file that is not what the manifest says
 */
export async function remoteFolder(url: string | URL, options: RemoteOptions = {}): Promise<Folder> {
  const base = String(url).replace(/\/*$/, "/");
  if (!URL.canParse(base))
    throw new InputError(`"${String(url)}"`, "is no absolute URL; `new URL(path, location.href)` makes one of a path");
  const address = (path: string) => new URL(path, base).href;
  const { signal } = options;
  const now = (): DownloadOptions => ({ ...options, signal: typeof signal === "function" ? signal() : signal });
  const ask = async (path: string) => {
    const how = now();
    return persist(
      address(path),
      how,
      () => head(address(path), how.signal),
      () => 0,
    );
  };
  const has = async (path: string) =>
    ask(path).then(
      () => true,
      (error: unknown) => {
        if (error instanceof InputError && /answers (403|404|410)/.test(error.message)) return false;
        throw error;
      },
    );
  const warn = tellOfLarge(options);
  const fetched = new Map<string, Promise<Uint8Array<ArrayBuffer>>>();
  const whole = (expected: Expected, how = now()) => {
    const { path } = expected;
    const known = fetched.get(path) ?? download(address(path), expected, how);
    fetched.set(path, known);
    known.catch(() => fetched.delete(path)); // another try may have more luck
    return known;
  };
  // never an old one: it is what tells old files from new ones
  const listed = (await has("manifest.json"))
    ? await whole({ path: "manifest.json" }, { ...now(), store: undefined })
    : undefined;
  const manifest = listed && parseManifest(address("manifest.json"), new TextDecoder().decode(listed));
  const find = (path: string): Expected => {
    const expected = manifest ? manifest.get(path) : { path };
    if (!expected) throw new InputError(address(path), "the manifest does not list it");
    return expected;
  };
  return {
    name: base,
    has: async (path) => (manifest ? manifest.has(path) : has(path)),
    open: async (path) => {
      const expected = find(path);
      const size = expected.bytes ?? Number((await ask(path)).headers.get("content-length") ?? 0);
      if (size > WHOLE) warn(expected, size);
      if (size > WHOLE) return rangedSource(address(path), path, size, now);
      const bytes = await whole(expected);
      return { ...bytesSource(path, bytes), close: async () => void fetched.delete(path) };
    },
    text: async (path) => new TextDecoder().decode(await whole(find(path))),
  };
}

/** Tells once of each file that is too large for what its manifest and the store are for. */
function tellOfLarge({ store, onWarning }: RemoteOptions): (file: Expected, size: number) => void {
  const told = new Set<string>();
  return ({ path, sha256 }, size) => {
    const without = [...(sha256 ? ["not held against its SHA-256"] : []), ...(store ? ["not kept"] : [])];
    if (without.length > 0 && !told.has(path))
      onWarning?.(`${path}: has ${size} bytes and is read by ranges: ${without.join(", ")}`);
    told.add(path);
  };
}

/** A file that is read by ranges, all of one version of it. */
function rangedSource(url: string, path: string, size: number, now: () => DownloadOptions): ByteSource {
  let version: string | undefined;
  let read = 0;
  /** Fills `bytes`, which lie at `offset`, and reports every piece that came, also where the rest does not. */
  const fetchPart = async (
    bytes: Uint8Array,
    offset: number,
    { signal }: DownloadOptions,
    report: (done: number) => void,
  ): Promise<void> => {
    const [first, last] = [offset, offset + bytes.length - 1];
    const isStrong = version !== undefined && !version.startsWith("W/");
    const headers = { range: `bytes=${first}-${last}`, ...(isStrong && { "if-range": version! }) };
    const response = await request(url, { headers, ...(signal && { signal }) });
    try {
      checkPart(response, { url, path, size, first, version });
    } catch (error) {
      await response.body?.cancel();
      throw error;
    }
    version ??= versionOf(response);
    let done = 0;
    for (const reader = response.body!.getReader(); ;) {
      const piece = await reader.read().catch((cause: unknown) => {
        signal?.throwIfAborted();
        throw new Died("the connection breaks off", { cause });
      });
      if (piece.done) break;
      if (done + piece.value.length > bytes.length) throw malformed(path, "more bytes came than were asked for");
      bytes.set(piece.value, done);
      done += piece.value.length;
      report(piece.value.length);
    }
    if (done < bytes.length) throw new Died("the connection ends early");
  };
  const source: ByteSource = {
    name: url,
    size,
    read: async (offset, length) => {
      checkRange(source, offset, length);
      const [bytes, options] = [new Uint8Array(length), now()];
      let done = 0;
      const report = (more: number) => {
        done += more;
        read += more;
        options.onProgress?.(path, Math.min(read, size), size);
      };
      const attempt = () => fetchPart(bytes.subarray(done), offset + done, options, report);
      if (length > 0) await persist(url, options, attempt, () => done);
      return bytes;
    },
  };
  return source;
}

interface Part {
  readonly url: string;
  readonly path: string;
  readonly size: number;
  /** The first byte that was asked for. */
  readonly first: number;
  /** Of the parts before. */
  readonly version: string | undefined;
}

/** Throws unless a response is the part of the file that was asked for. */
function checkPart(response: Response, { url, path, size, first, version }: Part): void {
  const now = versionOf(response);
  if (version !== undefined && (response.status === 200 || (now !== undefined && now !== version)))
    throw new InputError(url, "the file changed on the server while it was read");
  if (response.status !== 206)
    throw new InputError(url, `the server sends all ${size} bytes where a part was asked for`);
  const range = contentRange(response);
  if (range && range.total !== size) throw malformed(path, `has ${range.total} bytes, ${size} were expected`);
  if (range && range.start !== first) throw new Died(`the server sends byte ${range.start} for byte ${first}`);
}

const [ETAG, COMPLETE] = ["x-toile-etag", "x-toile-complete"];

/**
 * A store in the browser's Cache API: `cacheStore(await caches.open("toile"))`. It keeps gigabytes where the browser
 * grants them, is there in pages and workers, and one call empties it.
 */
export function cacheStore(cache: Pick<Cache, "match" | "put" | "delete">): ByteStore {
  // keys with a fragment would all be one: it is no part of a request
  const request = (key: string) => key.replace("#", "?sha256=");
  return {
    get: async (key) => {
      const found = await cache.match(request(key));
      if (!found) return undefined;
      const bytes = new Uint8Array(await found.arrayBuffer());
      return { bytes, etag: found.headers.get(ETAG) ?? undefined, complete: found.headers.get(COMPLETE) === "1" };
    },
    put: async (key, { bytes, etag, complete }) => {
      const headers = { [COMPLETE]: complete ? "1" : "0", ...(etag !== undefined && { [ETAG]: etag }) };
      await cache.put(request(key), new Response(bytes, { headers }));
    },
    delete: async (key) => void (await cache.delete(request(key))),
  };
}
