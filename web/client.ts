import type { Call, Calls, Failure, Reply, Request } from "./protocol.ts";

interface Waiting {
  resolve(output: unknown): void;
  reject(error: Error): void;
  onEvent(event: unknown): void;
}

interface AskOptions<C extends Call> {
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: Calls[C]["event"]) => void;
}

/** The worker, as the page speaks to it. */
export class Client {
  readonly #worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  readonly #waiting = new Map<number, Waiting>();
  #next = 1;

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<Reply>) => this.#hear(data);
    this.#worker.onerror = ({ message }) => {
      const error = new Error(message || "the page's worker could not be started");
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    };
  }

  /** @throws what the worker threw, by name and message; AbortError when the signal said so */
  ask<C extends Call>(call: C, input: Calls[C]["input"], options: AskOptions<C> = {}): Promise<Calls[C]["output"]> {
    const { signal, onEvent = () => undefined } = options;
    signal?.throwIfAborted();
    const id = this.#next++;
    const abort = () => this.#send({ id, abort: true });
    signal?.addEventListener("abort", abort, { once: true });
    return new Promise<Calls[C]["output"]>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, onEvent });
      this.#send({ id, call, input } as Request);
    }).finally(() => signal?.removeEventListener("abort", abort));
  }

  #send(request: Request): void {
    this.#worker.postMessage(request);
  }

  #hear(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    if (!waiting) return;
    if ("event" in reply) return waiting.onEvent(reply.event);
    this.#waiting.delete(reply.id);
    if ("output" in reply) waiting.resolve(reply.output);
    else waiting.reject(revived(reply.failure));
  }
}

function revived({ name, message }: Failure): Error {
  if (name === "AbortError") return new DOMException(message, name);
  return Object.assign(new Error(message), { name });
}

/** Whether somebody stopped it, and nothing went wrong. */
export const isAbort = (error: unknown): boolean => error instanceof Error && error.name === "AbortError";
