import { InputError } from "../util/errors.ts";
import { download, persist, request, type ByteStore, type DownloadOptions, type Expected } from "./download.ts";
import { bytesSource, checkRange, malformed, type ByteSource, type Folder } from "./source.ts";

export type { ByteStore, DownloadOptions, StoredBytes } from "./download.ts";

const WHOLE = 2 ** 30; // bytes: larger files are read by ranges, and their hashes are not checked

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
  return new Map((files as Expected[]).map((file) => [file.path, file]));
}

/**
 * A checkpoint's folder on a server. With a `manifest.json` in it (`{ files: [{ path, bytes, sha256 }] }`) files are
 * known beforehand and held against it; without one each is asked for. Files up to 1 GiB are fetched whole, once,
 * larger ones by ranges as their tensors are read.
 * @param url of the folder
 * @throws InputError naming the URL that cannot be had, FormatError naming the file that is not what the manifest says
 */
export async function remoteFolder(url: string | URL, options: DownloadOptions = {}): Promise<Folder> {
  const base = String(url).replace(/\/*$/, "/");
  if (!URL.canParse(base))
    throw new InputError(`"${String(url)}"`, "is no absolute URL; `new URL(path, location.href)` makes one of a path");
  const address = (path: string) => new URL(path, base).href;
  const { signal } = options;
  const head = async (path: string) =>
    persist(
      address(path),
      options,
      () => request(address(path), { method: "HEAD", ...(signal && { signal }) }),
      () => 0,
    );
  const has = async (path: string) =>
    head(path).then(
      () => true,
      (error: unknown) => {
        if (error instanceof InputError && /answers (403|404|410)/.test(error.message)) return false;
        throw error;
      },
    );
  const fetched = new Map<string, Promise<Uint8Array<ArrayBuffer>>>();
  const whole = (expected: Expected) => {
    const { path } = expected;
    const known = fetched.get(path) ?? download(address(path), expected, options);
    fetched.set(path, known);
    known.catch(() => fetched.delete(path)); // another try may have more luck
    return known;
  };
  const manifest = (await has("manifest.json"))
    ? parseManifest(address("manifest.json"), new TextDecoder().decode(await whole({ path: "manifest.json" })))
    : undefined;
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
      const size = expected.bytes ?? Number((await head(path)).headers.get("content-length") ?? 0);
      if (size > WHOLE) return rangedSource(address(path), size, options);
      const bytes = await whole(expected);
      return { ...bytesSource(path, bytes), close: async () => void fetched.delete(path) };
    },
    text: async (path) => new TextDecoder().decode(await whole(find(path))),
  };
}

/** A file that is read by ranges. */
function rangedSource(url: string, size: number, options: DownloadOptions): ByteSource {
  const { signal } = options;
  const source: ByteSource = {
    name: url,
    size,
    read: (offset, length) => {
      checkRange(source, offset, length);
      const headers = { range: `bytes=${offset}-${offset + length - 1}` };
      const attempt = async () => {
        const response = await request(url, { headers, ...(signal && { signal }) });
        if (response.status !== 206) {
          await response.body?.cancel();
          throw new InputError(url, `the server sends all ${size} bytes where ${length} were asked for`);
        }
        const bytes = new Uint8Array(await response.arrayBuffer());
        if (bytes.length !== length) throw malformed(url, `${bytes.length} bytes came, ${length} were asked for`);
        return bytes;
      };
      if (length === 0) return Promise.resolve(new Uint8Array());
      return persist(url, options, attempt, () => 0);
    },
  };
  return source;
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
