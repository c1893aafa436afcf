import { FormatError } from "../util/errors.ts";
import type { OnnxOutput, OnnxSession } from "../util/host.ts";

export type { OnnxOutput, OnnxSession };

/** What is used of onnxruntime-common's tensors. */
interface RuntimeTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: unknown;
}

/** What is used of the packages onnxruntime-node and onnxruntime-web, which have one interface. */
export interface Runtime<T extends RuntimeTensor> {
  readonly Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => T;
}

/** What is used of an `InferenceSession` of these packages. */
export interface RuntimeSession<T extends RuntimeTensor> {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Record<string, T>): Promise<Readonly<Record<string, RuntimeTensor>>>;
  release(): Promise<void>;
}

/** An error of the runtime as one line. */
export const oneLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).trim().replaceAll(/\s+/g, " ");

/**
 * A session of ONNX Runtime, of either of its packages, as the parsers take it.
 * @throws FormatError when the network has not exactly one input
 */
export function onnxSession<T extends RuntimeTensor>(
  name: string,
  { Tensor }: Runtime<T>,
  session: RuntimeSession<T>,
): OnnxSession {
  const [input, ...others] = session.inputNames;
  if (input === undefined || others.length > 0)
    throw new FormatError(name, `the network has ${session.inputNames.length} inputs, there must be one`);
  return {
    name,
    run: async (data, shape) => {
      const results = await session.run({ [input]: new Tensor("float32", data, shape) }).catch((cause: unknown) => {
        throw new FormatError(name, `does not run on [${shape.join(", ")}]: ${oneLine(cause)}`, { cause });
      });
      return session.outputNames.map((output) => {
        const { data: values, dims, type } = results[output]!;
        if (!(values instanceof Float32Array)) throw new FormatError(name, `output ${output} is ${type}, not float32`);
        return { data: values, shape: dims };
      });
    },
    close: () => session.release(),
  };
}
