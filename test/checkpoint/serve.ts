import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** What a server does with a request that is not handled as usual. @returns whether it has answered */
export type Trick = (request: IncomingMessage, response: ServerResponse, asked: number) => boolean;

export interface Served {
  readonly url: string;
  /** Path and `range` of every GET, in order. */
  readonly gets: string[];
  /** Bytes of files that were sent, those of broken answers too. */
  sent: number;
}

/** A strong name of the version. */
export const etagOf = (bytes: Uint8Array) => `"${createHash("sha256").update(bytes).digest("hex").slice(0, 16)}"`;

/** A server of files with ranges, as RFC 9110 has them, and with tricks by path. */
export async function serve(
  files: Map<string, Uint8Array>,
  tricks: Readonly<Record<string, Trick>> = {},
  onHead = 200,
): Promise<Served> {
  const asked = new Map<string, number>();
  const served: Served = { url: "", gets: [], sent: 0 };
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url!.slice(1));
    const bytes = files.get(path);
    if (request.method === "GET") {
      served.gets.push([path, request.headers.range].filter(Boolean).join(" "));
      asked.set(path, (asked.get(path) ?? 0) + 1);
      if (tricks[path]?.(request, response, asked.get(path)!)) return;
    }
    if (!bytes) return void response.writeHead(404).end();
    if (request.method === "HEAD" && onHead !== 200) return void response.writeHead(onHead).end();
    const etag = etagOf(bytes);
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const isPart = range && [undefined, etag].includes(request.headers["if-range"] as string | undefined);
    const [from, to] = isPart ? [Number(range[1]), Number(range[2] || bytes.length - 1)] : [0, bytes.length - 1];
    const length = { "content-length": to + 1 - from, etag, "accept-ranges": "bytes" };
    if (isPart) response.writeHead(206, { ...length, "content-range": `bytes ${from}-${to}/${bytes.length}` });
    else response.writeHead(200, length);
    if (request.method === "HEAD") return void response.end();
    served.sent += to + 1 - from;
    response.end(bytes.subarray(from, to + 1));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void (server.closeAllConnections(), server.close()));
  return Object.assign(served, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}

/** Sends a share of the file, then cuts the line. */
export const dies =
  (bytes: Uint8Array, share: number, times: number): Trick =>
  (request, response, asked) => {
    if (asked > times) return false;
    const from = Number(/\d+/.exec(request.headers.range ?? "")?.[0] ?? 0);
    const head = { "content-length": bytes.length - from, etag: etagOf(bytes) };
    if (from > 0)
      response.writeHead(206, { ...head, "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` });
    else response.writeHead(200, head);
    const end = from + Math.floor(share * (bytes.length - from));
    response.write(bytes.subarray(from, end), () => setTimeout(() => response.destroy(), 50));
    return true;
  };
