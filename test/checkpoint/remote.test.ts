import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cacheStore, remoteFolder, type ByteStore, type StoredBytes } from "../../src/checkpoint/remote.ts";
import { openSafetensors } from "../../src/checkpoint/safetensors.ts";
import { filesFolder } from "../../src/checkpoint/source.ts";
import { directory } from "../../src/node/files.ts";
import { shipped } from "../../src/node/package.ts";
import { dies, serve, type Trick } from "./serve.ts";

const FILE = "unet/weights.bin";
const content = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 2654435761) >>> 24);
const sha256 = createHash("sha256").update(content).digest("hex");
const text = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const entry = { path: FILE, bytes: content.length, sha256 };
const withManifest = (bytes = content, of: object = entry) =>
  new Map([
    [FILE, bytes],
    ["manifest.json", text({ files: [of] })],
  ]);
const quick = { backoff: 1 };

class MapStore implements ByteStore {
  readonly kept = new Map<string, StoredBytes>();
  async get(key: string) {
    return this.kept.get(key);
  }
  async put(key: string, stored: StoredBytes) {
    this.kept.set(key, { ...stored, bytes: stored.bytes.slice() });
  }
  async delete(key: string) {
    this.kept.delete(key);
  }
}

/** The SHA-256 of the file as it comes. */
async function all(url: string, options = {}): Promise<string> {
  const folder = await remoteFolder(url, { ...quick, ...options });
  const source = await folder.open(FILE);
  return createHash("sha256")
    .update(await source.read(0, source.size))
    .digest("hex");
}

describe("a file over HTTP", () => {
  test("whose fetch dies at 40 % goes on there", async () => {
    const served = await serve(withManifest(), { [FILE]: dies(content, 0.4, 1) });
    expect(await all(served.url)).toBe(sha256);
    expect(served.gets).toEqual(["manifest.json", FILE, `${FILE} bytes=120000-`]);
  });

  test("which dies again and again comes as long as it gets further", async () => {
    const served = await serve(withManifest(), { [FILE]: dies(content, 0.4, 8) });
    expect(await all(served.url, { retries: 1 })).toBe(sha256);
    expect(served.gets.length).toBe(10);
  });

  test("which ends here and there, from the beginning each time, is given up", async () => {
    const here: Trick = (_, response, asked) => {
      response.writeHead(200, { "content-length": content.length }); // neither ranges nor versions
      const end = (asked % 2 ? 0.35 : 0.4) * content.length;
      response.write(content.subarray(0, end), () => setTimeout(() => response.destroy(), 5));
      return true;
    };
    const served = await serve(withManifest(), { [FILE]: here });
    await expect(all(served.url, { retries: 2 })).rejects.toThrow(/breaks off, 3 times in a row after 120000 bytes$/);
  });

  /** Answers as a server of another origin that lets its parts' place be read by nobody. */
  const hidden =
    (chunked: boolean): Trick =>
    (request, response, asked) => {
      const from = Number(/\d+/.exec(request.headers.range ?? "")?.[0] ?? 0);
      const version = { "last-modified": "Mon, 01 Jan 2024 00:00:00 GMT" };
      response.writeHead(from ? 206 : 200, {
        ...(!chunked && { "content-length": content.length - from }),
        ...version,
      });
      if (asked > 2) response.end(content.subarray(from));
      else response.write(content.subarray(from, from + 60_000), () => setTimeout(() => response.destroy(), 20));
      return true;
    };

  test("goes on where the place of a part is hidden, and its length fits", async () => {
    const served = await serve(new Map([[FILE, content]]), { [FILE]: hidden(false) });
    expect(await all(served.url)).toBe(sha256);
    expect(served.gets.slice(-2)).toEqual([`${FILE} bytes=60000-`, `${FILE} bytes=120000-`]);
  });

  test("begins again, and asks for no part twice, where neither is told", async () => {
    const served = await serve(withManifest(), { [FILE]: hidden(true) });
    expect(await all(served.url)).toBe(sha256);
    expect(served.gets.slice(1)).toEqual([FILE, `${FILE} bytes=60000-`, FILE]);
  });

  test("that pauses before a retry hears at once that nobody wants it", async () => {
    const served = await serve(withManifest(), { [FILE]: dies(content, 0, 99) });
    const signal = AbortSignal.timeout(200);
    const began = performance.now();
    await expect(all(served.url, { signal, backoff: 5000 })).rejects.toThrow(/timeout/);
    expect(performance.now() - began).toBeLessThan(3000);
  });

  test("which never comes is given up, in one line", async () => {
    const served = await serve(withManifest(), { [FILE]: dies(content, 0, 99) });
    await expect(all(served.url, { retries: 2 })).rejects.toThrow(
      /^http:.*weights\.bin: the connection breaks off, 3 times in a row after 0 bytes$/,
    );
  });

  test("is whole where the server knows no ranges", async () => {
    const plain: Trick = (_, response, asked) => {
      if (asked === 1) return dies(content, 0.4, 1)(_, response, asked);
      response.writeHead(200, { "content-length": content.length }).end(content);
      return true;
    };
    const served = await serve(withManifest(), { [FILE]: plain });
    expect(await all(served.url)).toBe(sha256);
  });

  test("begins again where it has become another file meanwhile", async () => {
    const [old, files] = [content.map((byte) => byte ^ 1), withManifest()];
    const served = await serve(files, { [FILE]: dies(old, 0.4, 1) });
    expect(await all(served.url)).toBe(sha256);
    expect(served.gets.at(-1)).toBe(`${FILE} bytes=120000-`); // asked for the rest, got all of the new one
  });

  test("with a wrong byte is found out by its hash, and not kept", async () => {
    const damaged = content.slice();
    damaged[123_456]! ^= 4;
    const [served, store] = [await serve(withManifest(damaged)), new MapStore()];
    await expect(all(served.url, { store })).rejects.toThrow(
      /^unet\/weights\.bin: is damaged: its SHA-256 is \w{64}, the/,
    );
    expect([...store.kept.keys()].filter((key) => key.includes(FILE))).toEqual([]);
  });

  test("whose hash is in capitals is the same", async () => {
    const served = await serve(withManifest(content, { ...entry, sha256: sha256.toUpperCase() }));
    expect(await all(served.url)).toBe(sha256);
  });

  test.for([
    [{ bytes: "5" }, 'bytes of "unet/weights.bin" is "5", a whole number is needed'],
    [{ bytes: -1 }, 'bytes of "unet/weights.bin" is -1, a whole number is needed'],
    [{ sha256: 5 }, 'sha256 of "unet/weights.bin" is 5, 64 hexadecimal digits are needed'],
    [{ sha256: "9f86d0" }, 'sha256 of "unet/weights.bin" is "9f86d0", 64 hexadecimal digits are needed'],
  ] as const)("of which the manifest says %j is refused", async ([wrong, says]) => {
    const served = await serve(withManifest(content, { ...entry, ...wrong }));
    await expect(all(served.url)).rejects.toThrow(`/manifest.json: ${says}`);
  });

  test("of a wrong size is refused with its name, before it comes", async () => {
    const served = await serve(withManifest(content.slice(0, 250_000)));
    await expect(all(served.url)).rejects.toThrow(/^unet\/weights\.bin: has 250000 bytes, the manifest says 300000/);
  });

  test("is asked for again after a 503, and not after a 404", async () => {
    const busy: Trick = (_, response, asked) => asked === 1 && !!response.writeHead(503).end();
    const served = await serve(withManifest(), { [FILE]: busy });
    expect(await all(served.url)).toBe(sha256);
    const gone = await serve(new Map([["manifest.json", text({ files: [entry] })]]));
    await expect(all(gone.url)).rejects.toThrow(/weights\.bin: the server answers 404 Not Found$/);
    expect(gone.gets.filter((path) => path === FILE)).toHaveLength(1);
  });

  test("is not loaded twice: the store has it", async () => {
    const [served, store] = [await serve(withManifest()), new MapStore()];
    expect(await all(served.url, { store })).toBe(sha256);
    const before = served.gets.filter((path) => path === FILE).length;
    expect(await all(served.url, { store })).toBe(sha256);
    expect(served.gets.filter((path) => path === FILE)).toHaveLength(before);
  });

  test("that no hash vouches for is asked after at the next visit, and the manifest is never an old one", async () => {
    const [files, store] = [withManifest(content, { path: FILE, bytes: content.length }), new MapStore()];
    const served = await serve(files);
    expect(await all(served.url, { store })).toBe(sha256);
    expect(await all(served.url, { store })).toBe(sha256);
    expect(served.gets.filter((path) => path === FILE)).toHaveLength(1);
    const other = content.map((byte) => byte ^ 1);
    files.set(FILE, other);
    expect(await all(served.url, { store })).toBe(createHash("sha256").update(other).digest("hex"));
    files.set("manifest.json", text({ files: [entry, { path: "new.json" }] }));
    files.set("new.json", text({ new: true }));
    expect(await (await remoteFolder(served.url, { ...quick, store })).text("new.json")).toBe('{"new":true}');
  });

  test("is known to servers that answer no HEAD", async () => {
    const served = await serve(withManifest(), {}, 405);
    expect(await all(served.url)).toBe(sha256);
  });

  test("that was given up goes on at the next visit", async () => {
    const [served, store] = [await serve(withManifest(), { [FILE]: dies(content, 0.4, 1) }), new MapStore()];
    await expect(all(served.url, { store, retries: 0 })).rejects.toThrow(/breaks off/);
    expect(await all(served.url, { store })).toBe(sha256);
    expect(served.gets.at(-1)).toBe(`${FILE} bytes=120000-`);
    expect(served.sent).toBeLessThan(200_000);
  });

  test("that comes slowly can be aborted, and says how far it is", async () => {
    const slow: Trick = (_, response) => {
      response.writeHead(200, { "content-length": content.length });
      response.write(content.subarray(0, 1000));
      return true;
    };
    const [served, controller] = [await serve(withManifest(), { [FILE]: slow }), new AbortController()];
    const heard: unknown[] = [];
    const onProgress = (path: string, done: number, total: number | undefined) => {
      if (path !== FILE) return;
      heard.push([done, total]);
      controller.abort();
    };
    await expect(all(served.url, { signal: controller.signal, onProgress })).rejects.toThrow(/abort/i);
    expect(heard).toEqual([[1000, 300_000]]);
  });

  test("a store that refuses is a warning", async () => {
    const [served, said] = [await serve(withManifest()), [] as string[]];
    const store = new MapStore();
    store.put = async () => Promise.reject(new Error("the quota is exceeded"));
    expect(await all(served.url, { store, onWarning: (message: string) => said.push(message) })).toBe(sha256);
    expect(said.filter((line) => line.startsWith(FILE))).toEqual([
      `${FILE}: not kept for the next visit: the quota is exceeded`,
    ]);
  });
});

describe("a file of more than a gibibyte, read by ranges", () => {
  const [BIG, bytes] = ["big.bin", 2 ** 31];
  const at = (i: number) => (i * 2654435761) >>> 24;
  const part = (first: number, length: number) => Uint8Array.from({ length }, (_, i) => at(first + i));
  const files = new Map([["manifest.json", text({ files: [{ path: BIG, bytes }] })]]);

  /** Answers a range as `answer` says; by default as it was asked for. */
  type Answer = { first?: number; total?: number; share?: number; etag?: string; status?: number };
  const server = (answer: (asked: number) => Answer) =>
    serve(files, {
      [BIG]: (request, response, asked) => {
        const [from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range!)!.slice(1).map(Number) as [number, number];
        const { first = from, total = bytes, share = 1, etag = '"1"', status = 206 } = answer(asked);
        const all = part(first, to + 1 - from);
        const range = `bytes ${first}-${first + all.length - 1}/${total}`;
        response.writeHead(status, { "content-length": all.length, "content-range": range, etag });
        if (share === 1) response.end(all);
        else response.write(all.subarray(0, share * all.length), () => setTimeout(() => response.destroy(), 20));
        return true;
      },
    });
  const read = async (url: string, times = 1, options = {}) => {
    const source = await (await remoteFolder(url, { ...quick, ...options })).open(BIG);
    let found: Uint8Array = new Uint8Array();
    for (let i = 0; i < times; i++) found = await source.read(200 + i, 1000);
    return found;
  };

  test("goes on within a range, and says how far it is", async () => {
    const served = await server((asked) => ({ share: asked === 1 ? 0.4 : 1 }));
    const done: (number | undefined)[] = [];
    const onProgress = (_: string, now: number, total: number | undefined) => done.push(now, total);
    expect(await read(served.url, 1, { onProgress })).toEqual(part(200, 1000));
    expect(served.gets.slice(1)).toEqual([`${BIG} bytes=200-1199`, `${BIG} bytes=600-1199`]);
    expect(done.slice(-2)).toEqual([1000, bytes]);
  });

  test("is neither checked nor kept, which is said once", async () => {
    const listed = { path: BIG, bytes, sha256 };
    const { url } = await serve(new Map([["manifest.json", text({ files: [listed] })]]));
    const said: string[] = [];
    const onWarning = (message: string) => said.push(message);
    const folder = await remoteFolder(url, { ...quick, onWarning, store: new MapStore() });
    for (let i = 0; i < 2; i++) await folder.open(BIG);
    expect(said).toEqual([
      `${BIG}: has 2147483648 bytes and is read by ranges: not held against its SHA-256, not kept`,
    ]);
  });

  test.for<[string, (asked: number) => Answer, RegExp]>([
    ["another part", () => ({ first: 0 }), /big\.bin: the server sends byte 0 for byte 200, 4 times in a row/],
    ["another size", () => ({ total: 2 ** 30 }), /^big\.bin: has 1073741824 bytes, 2147483648 were expected/],
    ["another version", (asked) => ({ etag: `"${asked}"` }), /big\.bin: the file changed on the server while it was/],
    [
      "no ranges",
      () => ({ status: 200 }),
      /big\.bin: the server sends all 2147483648 bytes where a part was asked for/,
    ],
    ["broken lines", () => ({ share: 0 }), /big\.bin: the connection breaks off, 4 times in a row after 0 bytes/],
  ])("refuses %s", async ([, answer, says]) => {
    await expect(read((await server(answer)).url, 2)).rejects.toThrow(says);
  });
});

describe("a folder", () => {
  test("with a manifest holds what that lists, one without is asked", async () => {
    const listed = await remoteFolder((await serve(withManifest())).url, quick);
    expect([await listed.has(FILE), await listed.has("other.bin")]).toEqual([true, false]);
    await expect(listed.open("other.bin")).rejects.toThrow(/other\.bin: the manifest does not list it$/);
    const bare = await remoteFolder((await serve(new Map([[FILE, content]]))).url, quick);
    expect([await bare.has(FILE), await bare.has("other.bin")]).toEqual([true, false]);
    expect((await bare.open(FILE)).size).toBe(content.length);
  });

  test.for(["no json", '{"files": 3}', '{"files": [{"bytes": 3}]}', "null"])(
    "with the manifest %s is refused",
    async (json) => {
      const served = await serve(new Map([["manifest.json", text(json)]]));
      await expect(remoteFolder(served.url, quick)).rejects.toThrow(/manifest\.json: (is no JSON|lists no files)/);
    },
  );

  test("that nobody serves is one line", async () => {
    await expect(remoteFolder("http://127.0.0.1:9", { retries: 0 })).rejects.toThrow(
      /^http:.*cannot be reached, or forbids/,
    );
  });

  test("of the model that ships is the same by URL as on the disk", async () => {
    const weights = shipped("weights");
    const { files } = JSON.parse(readFileSync(join(weights, "manifest.json"), "utf8")) as { files: { path: string }[] };
    const held = new Map(files.map(({ path }) => [path, new Uint8Array(readFileSync(join(weights, path)))]));
    held.set("manifest.json", new Uint8Array(readFileSync(join(weights, "manifest.json"))));
    const [remote, local] = [await remoteFolder((await serve(held)).url, quick), directory(weights)];
    const part = "ootd/vae/diffusion_pytorch_model.safetensors";
    const [a, b] = [await openSafetensors(await remote.open(part)), await openSafetensors(await local.open(part))];
    expect([...a.tensors.keys()]).toEqual([...b.tensors.keys()]);
    for (const name of a.tensors.keys()) expect(Buffer.compare(await a.read(name), await b.read(name))).toBe(0);
    expect(await remote.text("ootd/vae/config.json")).toBe(await local.text("ootd/vae/config.json"));
    await b.close();
  });

  test("of dropped files is read without their outermost folder", async () => {
    const dropped = (path: string, data: string) =>
      Object.defineProperty(new File([data], path.split("/").at(-1)!), "webkitRelativePath", { value: path });
    const folder = filesFolder("dropped", [
      dropped("mine/unet/config.json", "{}"),
      dropped("mine/vae/a.bin", "abcdef"),
    ]);
    expect(await folder.text("unet/config.json")).toBe("{}");
    expect([await folder.has("vae/a.bin"), await folder.has("mine/vae/a.bin")]).toEqual([true, false]);
    expect(new TextDecoder().decode(await (await folder.open("vae/a.bin")).read(2, 3))).toBe("cde");
    await expect(folder.open("none")).rejects.toThrow(/^dropped: no file "none"$/);
  });
});

test("the browser's cache keeps a file, what came of one, and its version", async () => {
  const held = new Map<string, Response>();
  const cache = {
    match: async (key: RequestInfo | URL) => held.get(String(key))?.clone(),
    put: async (key: RequestInfo | URL, response: Response) => void held.set(String(key), response),
    delete: async (key: RequestInfo | URL) => held.delete(String(key)),
  };
  const store = cacheStore(cache);
  const part = { bytes: content.slice(0, 10), etag: '"v1"', complete: false };
  await store.put("https://shop/a#1", part);
  await store.put("https://shop/a#2", { ...part, etag: undefined, complete: true });
  expect(await store.get("https://shop/a#1")).toEqual(part);
  expect(await store.get("https://shop/a#2")).toEqual({ ...part, etag: undefined, complete: true });
  await store.delete("https://shop/a#1");
  expect(await store.get("https://shop/a#1")).toBeUndefined();
});
