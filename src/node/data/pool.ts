import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { TryOnDataset, TryOnSample } from "../../training/data/dataset.ts";
import { InputError } from "../../util/errors.ts";
import { openDataset, perform, type DatasetSpec, type Result, type Task } from "./tasks.ts";
import type { Answer, Request } from "./worker.ts";

/** Threads that draw, read and decode. */
export interface Pool {
  run(task: Task): Promise<Result>;
  close(): Promise<void>;
}

interface Waiting {
  readonly resolve: (result: Result) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, Waiting>;
}

/** One core is left to whoever feeds the device. */
export const defaultWorkers = (): number => Math.max(1, availableParallelism() - 1);

/**
 * @param workers - how many threads; 0: the work is done on the caller's own
 * @throws InputError for a negative or broken number
 */
export function openPool(workers: number): Pool {
  if (!Number.isInteger(workers) || workers < 0) throw new InputError("workers", `${workers} threads`);
  if (workers === 0) return { run: perform, close: async () => {} };
  const threads = Array.from({ length: workers }, startThread);
  let next = 0;
  return {
    run: async (task) => {
      const { worker, waiting } = threads.reduce((a, b) => (b.waiting.size < a.waiting.size ? b : a));
      const id = next++;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        worker.ref(); // while something is awaited the process stays
        worker.postMessage({ id, task } satisfies Request);
      });
    },
    close: async () => {
      await Promise.all(threads.map(({ worker }) => worker.terminate()));
    },
  };
}

function startThread(): Thread {
  const worker = new Worker(new URL("./data-worker.js", import.meta.url));
  worker.unref();
  const waiting = new Map<number, Waiting>();
  worker.on("message", (answer: Answer) => {
    const { resolve, reject } = waiting.get(answer.id)!;
    waiting.delete(answer.id);
    if (waiting.size === 0) worker.unref();
    if ("result" in answer) resolve(answer.result);
    else reject(errorOf(answer.error));
  });
  const failed = (error: Error) => {
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  worker.on("error", failed);
  worker.on("exit", () => failed(new InputError("workers", "a thread ended before its work was done")));
  return { worker, waiting };
}

function errorOf({ op, message }: { readonly op: string | undefined; readonly message: string }): Error {
  return op === undefined ? new Error(message) : new InputError(op, message.slice(op.length + 2));
}

/**
 * A data set whose samples are made by other threads, while the caller's feeds the device.
 * @throws InputError as `openDataset`
 */
export async function threadedDataset(spec: DatasetSpec, { workers = defaultWorkers() } = {}): Promise<TryOnDataset> {
  const { length } = await openDataset(spec); // says at once what is wrong with it
  const pool = openPool(workers);
  return {
    length,
    get: async (index, epoch = 0) => (await pool.run({ do: "sample", spec, index, epoch })) as TryOnSample,
    close: pool.close,
  };
}
