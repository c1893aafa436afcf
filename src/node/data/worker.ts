import { parentPort } from "node:worker_threads";
import { ToileError } from "../../util/errors.ts";
import { perform, type Result, type Task } from "./tasks.ts";

/** What a thread is sent, and what it answers. */
export interface Request {
  readonly id: number;
  readonly task: Task;
}

export type Answer =
  | { readonly id: number; readonly result: Result }
  | { readonly id: number; readonly error: { readonly op: string | undefined; readonly message: string } };

/** Memory that moves to the other thread instead of being copied. Each picture has its own. */
function buffersOf(result: Result): ArrayBuffer[] {
  if (result === undefined || !("person" in result)) return [];
  const { person, garment, mask, truth, labels } = result;
  const images = [person, garment, mask, truth, labels].filter((image) => image !== undefined);
  return [...new Set(images.map(({ data }) => data.buffer as ArrayBuffer))];
}

parentPort?.on("message", ({ id, task }: Request) => {
  perform(task).then(
    (result) => parentPort!.postMessage({ id, result } satisfies Answer, buffersOf(result)),
    (error: Error) => {
      const op = error instanceof ToileError ? error.op : undefined;
      parentPort!.postMessage({ id, error: { op, message: error.message } } satisfies Answer);
    },
  );
});
