import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Browser, type Page } from "playwright-core";
import { build, preview } from "vite";
import { findBrowser } from "../../scripts/setup-browser.mjs";
import { root } from "../cli/run.ts";

/** Chrome's own processor adapter, where there is no GPU. */
const WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/** Where screenshots stay; not committed. */
export const artefact = (name: string): string => {
  mkdirSync(join(root, "out/web-test"), { recursive: true });
  return join(root, "out/web-test", name);
};

/** @throws Error where tests of the page must not be left out and there is no browser */
export function browserPath(): string | undefined {
  const path = findBrowser();
  if (path === undefined && process.env["TOILE_BROWSER"] === "required")
    throw new Error("there is no Chromium for the tests of the page: npm run setup:browser");
  if (path === undefined) process.stdout.write("no Chromium: the tests of the page are left out\n");
  return path;
}

export interface Served {
  readonly url: string;
  close(): Promise<void>;
}

/** The page, built as it is published, behind a server. */
export async function servePage(): Promise<Served> {
  const outDir = mkdtempSync(join(tmpdir(), "toile-web-"));
  const config = { root: join(root, "web"), configFile: join(root, "web/vite.config.ts"), logLevel: "error" } as const;
  await build({ ...config, build: { outDir } });
  const server = await preview({ ...config, build: { outDir }, preview: { port: 0, host: "127.0.0.1" } });
  const close = async () => {
    await server.close();
    rmSync(outDir, { recursive: true, force: true });
  };
  return { url: server.resolvedUrls!.local[0]!, close };
}

/** @param withGpu - false: as a browser without WebGPU */
export const launch = (executablePath: string, withGpu = true): Promise<Browser> =>
  chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage", ...(withGpu ? WEBGPU : [])] });

/** What the page does that only a listener sees. */
export interface Watched {
  readonly page: Page;
  /** Requests to anywhere but the page's own server. */
  readonly outside: string[];
  /** Errors on the page and on its console. */
  readonly errors: string[];
}

/** Runs in the page before its own code: keeps the requests to the worker. */
function watch(): void {
  const asked: unknown[] = [];
  Object.assign(globalThis, { asked });
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message: unknown) {
    asked.push(message);
    post.call(this, message);
  };
}

interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly args: { readonly name?: string };
  /** Microseconds of the thread's own time. */
  readonly tdur?: number;
}

/**
 * How long the page's main thread was busy with each of its tasks while `work` went on, in milliseconds of processor
 * time: by the clock a task also lasts while other programs have the processor.
 */
export async function tasksDuring(browser: Browser, page: Page, work: () => Promise<void>): Promise<number[]> {
  await browser.startTracing(page, { categories: ["disabled-by-default-devtools.timeline", "__metadata"] });
  await work();
  const trace = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: TraceEvent[] };
  const thread = ({ pid, tid }: TraceEvent) => `${pid} ${tid}`;
  const isMain = ({ name, args }: TraceEvent) => name === "thread_name" && args.name === "CrRendererMain";
  const main = new Set(trace.traceEvents.filter(isMain).map(thread));
  return trace.traceEvents
    .filter((event) => event.name === "RunTask" && event.tdur !== undefined && main.has(thread(event)))
    .map(({ tdur = 0 }) => tdur / 1000);
}

export async function openPage(browser: Browser, url: string): Promise<Watched> {
  const page = await browser.newPage({ viewport: { width: 1360, height: 960 } });
  const [outside, errors]: [string[], string[]] = [[], []];
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !/^(blob|data):/.test(request.url())) outside.push(request.url());
  });
  page.on("pageerror", ({ message }) => errors.push(message));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.setDefaultTimeout(280_000); // on a busy machine the processor adapter takes its time
  await page.addInitScript(watch);
  await page.goto(url);
  return { page, outside, errors };
}
