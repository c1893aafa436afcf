import { InputError } from "../util/errors.ts";
import { malformed } from "./source.ts";

/** What is known of a file before it is fetched: a manifest's entry. */
export interface Expected {
  readonly path: string;
  readonly bytes?: number | undefined;
  /** In hexadecimal. */
  readonly sha256?: string | undefined;
}

/** A file, or what of it has come so far. */
export interface StoredBytes {
  /** From the file's beginning. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The version they belong to, as the server names it. */
  readonly etag: string | undefined;
  /** Whether that is all of it. */
  readonly complete: boolean;
}

/** Keeps files between visits, and what came of those whose fetch died. */
export interface ByteStore {
  /** What is kept under the key. */
  get(key: string): Promise<StoredBytes | undefined>;
  /** Keeps it in place of what was there. */
  put(key: string, stored: StoredBytes): Promise<void>;
  /** Forgets it. */
  delete(key: string): Promise<void>;
}

/** How files are fetched. */
export interface DownloadOptions {
  /** Aborts what is under way, then and later. */
  readonly signal?: AbortSignal | undefined;
  /** How often in a row a fetch may die without a byte before it is given up. Default 3. */
  readonly retries?: number;
  /** Milliseconds before the first retry; each later one waits twice as long. Default 500. */
  readonly backoff?: number;
  /** Keeps files for the next visit. Default: none. */
  readonly store?: ByteStore | undefined;
  /** Bytes of the file that have come; the total is undefined where the server does not say it. */
  readonly onProgress?: ((path: string, done: number, total: number | undefined) => void) | undefined;
  /** Told once when the store refuses, and of a file that is too large to be checked or kept: the download goes on. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** A fetch that may be tried again. */
export class Died extends Error {}

/** Waits, or until the signal says otherwise. */
async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  let over = () => {};
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    over = () => (clearTimeout(timer), resolve());
    signal?.addEventListener("abort", over);
  });
  signal?.removeEventListener("abort", over);
  signal?.throwIfAborted();
}

/** One request. @throws InputError in one line for what no retry mends, Died for what one may */
export async function request(url: string, init: RequestInit): Promise<Response> {
  const response = await fetch(url, init).catch((cause: unknown) => {
    init.signal?.throwIfAborted();
    throw new Died(`the server cannot be reached, or forbids other origins (CORS)`, { cause });
  });
  if (response.ok || response.status === 416) return response;
  await response.body?.cancel();
  const said = `the server answers ${response.status} ${response.statusText}`.trim();
  if (response.status >= 500 || response.status === 429) throw new Died(said);
  throw new InputError(url, said);
}

/** Tries until it works, or dies too often without getting further. */
export async function persist<T>(
  url: string,
  options: DownloadOptions,
  attempt: () => Promise<T>,
  reached: () => number,
): Promise<T> {
  const { retries = 3, backoff = 500, signal } = options;
  for (let [failures, best] = [0, reached()]; ;) {
    try {
      signal?.throwIfAborted();
      return await attempt();
    } catch (error) {
      if (!(error instanceof Died)) throw error;
      // where a server knows no ranges it begins again: only what was never reached before is progress
      failures = reached() > best ? 1 : failures + 1;
      best = Math.max(best, reached());
      if (failures > retries)
        throw new InputError(url, `${error.message}, ${failures} times in a row after ${best} bytes`, {
          cause: error.cause,
        });
      await pause(backoff * 2 ** (failures - 1), signal);
    }
  }
}

/** A file as it comes in. */
class Incoming {
  #bytes: Uint8Array<ArrayBuffer>;
  etag: string | undefined;
  /** Bytes that have come. */
  done: number;
  /** Of the whole file, where that is known. */
  total: number | undefined;
  /** Whether the server has sent no other part than it was asked for. */
  ranges = true;

  constructor(stored: StoredBytes | undefined, total: number | undefined) {
    this.total = total;
    this.#bytes = stored?.bytes ?? new Uint8Array();
    this.done = this.#bytes.length;
    this.etag = stored?.etag;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.done);
  }

  startOver(etag: string | undefined): void {
    this.done = 0;
    this.etag = etag;
  }

  append(chunk: Uint8Array): void {
    const needed = this.done + chunk.length;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.total ?? 2 * needed));
      grown.set(this.bytes);
      this.#bytes = grown;
    }
    this.#bytes.set(chunk, this.done);
    this.done = needed;
  }
}

/** Where a 206 begins and how long the whole file is, from "bytes 40-99/100". */
export function contentRange(response: Response): { readonly start: number; readonly total: number } | undefined {
  const match = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get("content-range") ?? "");
  return match ? { start: Number(match[1]), total: Number(match[2]) } : undefined;
}

/** What tells a version of a file from others (RFC 9110, section 8.8): the server's name of it, or when it was made. */
export const versionOf = ({ headers }: Response): string | undefined =>
  headers.get("etag") ?? headers.get("last-modified") ?? undefined;

/** Length of a whole answer; unknown where the server packed it, since its length is then another one. */
function contentLength(response: Response): number | undefined {
  const length = response.headers.get("content-length");
  return length === null || response.headers.get("content-encoding") ? undefined : Number(length);
}

/** Whether a 206 is what is missing. Other origins may hide where it begins (CORS), not how long it is. */
function isRest(response: Response, { done, total }: Incoming): boolean {
  const range = contentRange(response);
  if (range || response.headers.has("content-range")) return range?.start === done;
  return total !== undefined && contentLength(response) === total - done;
}

/** Fetches what is missing of a file. @throws Died when the stream ends before the file does */
async function fetchRest(url: string, expected: Expected, incoming: Incoming, options: DownloadOptions): Promise<void> {
  const { signal, onProgress } = options;
  // without a strong name of its version a part cannot be told from one of another version
  const isNamed = incoming.etag !== undefined && !incoming.etag.startsWith("W/");
  const resumes = incoming.done > 0 && isNamed && incoming.ranges;
  if (!resumes) incoming.startOver(undefined);
  const headers = resumes ? { range: `bytes=${incoming.done}-`, "if-range": incoming.etag! } : undefined;
  const response = await request(url, { ...(headers && { headers }), ...(signal && { signal }) });
  const goesOn = response.status === 206 && isRest(response, incoming);
  if (response.status !== 200 && !goesOn) {
    await response.body?.cancel();
    incoming.startOver(undefined);
    incoming.ranges &&= response.status !== 206;
    throw new Died(`the server answers ${response.status} with another part than was asked for`);
  }
  if (!goesOn) incoming.startOver(versionOf(response));
  const told = goesOn ? contentRange(response)?.total : contentLength(response);
  checkSize(expected, told);
  const total = told ?? (goesOn ? incoming.total : undefined);
  incoming.total = total ?? expected.bytes;
  for (const reader = response.body!.getReader(); ;) {
    const { done, value } = await reader.read().catch((cause: unknown) => {
      signal?.throwIfAborted();
      throw new Died("the connection breaks off", { cause });
    });
    if (done) break;
    incoming.append(value);
    onProgress?.(expected.path, incoming.done, incoming.total);
  }
  if (total !== undefined && incoming.done < total) throw new Died("the connection ends early");
}

function checkSize({ path, bytes }: Expected, found: number | undefined): void {
  if (bytes !== undefined && found !== undefined && found !== bytes)
    throw malformed(path, `has ${found} bytes, the manifest says ${bytes}`);
}

const hexadecimal = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

async function checkHash({ path, sha256 }: Expected, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  if (sha256 === undefined) return;
  const found = hexadecimal(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
  if (found !== sha256) throw malformed(path, `is damaged: its SHA-256 is ${found}, the manifest says ${sha256}`);
}

/** Whether a kept file that nothing else vouches for is still the server's. It serves while that cannot be reached. */
async function isUnchanged(url: string, version: string | undefined, { signal }: DownloadOptions): Promise<boolean> {
  try {
    return version !== undefined && versionOf(await head(url, signal)) === version;
  } catch (error) {
    if (error instanceof Died) return true;
    throw error;
  }
}

/** What a server says of a file. Some know no HEAD: they are asked for it, and not listened to. */
export async function head(url: string, signal: AbortSignal | undefined): Promise<Response> {
  const aborts = signal && { signal };
  try {
    return await request(url, { method: "HEAD", ...aborts });
  } catch (error) {
    if (!(error instanceof InputError) || !/answers (405|501)/.test(error.message)) throw error;
    const response = await request(url, { ...aborts });
    await response.body?.cancel();
    return response;
  }
}

/**
 * A whole file over HTTP. A fetch that dies goes on where it stopped (RFC 9110, sections 13.1.5 and 14.2), also at the
 * next visit where there is a store; size and SHA-256 are held against the manifest's.
 * @throws InputError naming the URL when it cannot be had, FormatError naming the file when it is not the expected one
 */
export async function download(
  url: string,
  expected: Expected,
  options: DownloadOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const { onWarning } = options;
  const key = expected.sha256 === undefined ? url : `${url}#${expected.sha256}`;
  let store = options.store;
  const refused = (error: unknown) => {
    store = undefined;
    onWarning?.(`${expected.path}: not kept for the next visit: ${(error as Error).message}`);
  };
  const kept = (await store?.get(key).catch(refused)) ?? undefined;
  const isOld = kept?.complete && expected.sha256 === undefined && !(await isUnchanged(url, kept.etag, options));
  const stored = isOld ? undefined : kept;
  const incoming = new Incoming(stored, expected.bytes);
  try {
    if (!stored?.complete)
      await persist(
        url,
        options,
        () => fetchRest(url, expected, incoming, options),
        () => incoming.done,
      );
    checkSize(expected, incoming.done);
    await checkHash(expected, incoming.bytes);
  } catch (error) {
    const isDamaged = (error as Error).name === "FormatError";
    if (isDamaged) await store?.delete(key).catch(refused);
    else if (incoming.done > 0 && incoming.etag !== undefined)
      await store?.put(key, { bytes: incoming.bytes, etag: incoming.etag, complete: false }).catch(refused);
    throw error;
  }
  const { bytes, etag } = incoming;
  if (!stored?.complete) await store?.put(key, { bytes, etag, complete: true }).catch(refused);
  return bytes;
}
