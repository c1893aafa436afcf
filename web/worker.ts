import { agnosticMask, dilateDisc, encodePng, parseKeyPoints, readLabels, readMask, type GrayImage } from "toile";
import { Engine } from "./engine.ts";
import { PictureStore } from "./pictures.ts";
import type { Call, Calls, Reply, Request } from "./protocol.ts";

// All computing happens here, so that the page answers while it goes on.

interface Scope {
  onmessage: ((message: MessageEvent<Request>) => void) | null;
  postMessage(reply: Reply, transfer: Transferable[]): void;
}

const scope = globalThis as unknown as Scope; // the types of workers and of pages exclude each other
const pictures = new PictureStore();
const engine = new Engine(pictures);

type Handler<C extends Call> = (
  input: Calls[C]["input"],
  context: { readonly signal: AbortSignal; readonly report: (event: Calls[C]["event"]) => void },
) => Promise<Calls[C]["output"]>;

const handlers: { readonly [C in Call]: Handler<C> } = {
  start: ({ weights }) => engine.start(weights),
  use: (folder) => engine.use(folder),
  picture: (file) => pictures.read(file),
  mask: (file) => readMask(file),
  draw: (wanted) => pictures.draw(wanted),
  makeMask: async ({ from, model, category }) => {
    if ("drawn" in from) return pictures.drawnMask(from.drawn, { model, category });
    const labels = await readLabels(from.labels);
    const pose = from.keyPoints && parseKeyPoints(from.keyPoints.name, await from.keyPoints.text());
    return agnosticMask(labels, pose, { model, category });
  },
  growMask: async ({ mask, pixels }) =>
    pixels >= 0 ? dilateDisc(mask, pixels) : inverted(dilateDisc(inverted(mask), -pixels)),
  tryOn: (request, { signal, report }) => engine.tryOn(request, signal, report),
  png: async ({ id, text }) => new Blob([await encodePng(pictures.get(id), { text })], { type: "image/png" }),
  forget: async (ids) => pictures.forget(ids),
};

const inverted = ({ width, height, data }: GrayImage): GrayImage => ({
  width,
  height,
  data: data.map((value) => 255 - value),
});

const running = new Map<number, AbortController>();

/** Bitmaps change hands; everything else is copied. */
function bitmaps(value: unknown): ImageBitmap[] {
  if (value instanceof ImageBitmap) return [value];
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || value instanceof Blob) return [];
  return Object.values(value).flatMap(bitmaps);
}

async function answer({ id, call, input }: Exclude<Request, { abort: true }>): Promise<void> {
  const controller = new AbortController();
  running.set(id, controller);
  const report = (event: unknown) => scope.postMessage({ id, event }, bitmaps(event));
  try {
    const handler = handlers[call] as Handler<Call>;
    const output = await handler(input as never, { signal: controller.signal, report });
    scope.postMessage({ id, output }, bitmaps(output));
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    scope.postMessage({ id, failure: { name, message } }, []);
  } finally {
    running.delete(id);
  }
}

scope.onmessage = ({ data }) => {
  if ("abort" in data) running.get(data.id)?.abort();
  else void answer(data);
};
