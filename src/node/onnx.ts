import { fileSource } from "./files.ts";
import { DeviceError, FormatError } from "../util/errors.ts";
import type { OnnxSession } from "../vision/parsing.ts";

/** Its install script would fetch libraries for CUDA, which nothing here uses. */
const INSTALL = "npm install onnxruntime-node --onnxruntime-node-install=skip";

async function loadRuntime() {
  const { default: runtime } = await import("onnxruntime-node").catch((cause: NodeJS.ErrnoException) => {
    const missing = cause.code === "ERR_MODULE_NOT_FOUND" ? `is missing: ${INSTALL}` : undefined;
    const what = missing ?? `does not load here: ${oneLine(cause)}`;
    throw new DeviceError("openOnnx", `the optional package onnxruntime-node ${what}`, { cause });
  });
  runtime.env.logLevel = "fatal"; // else it complains on stderr that it found no graphics card
  return runtime;
}

const oneLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).trim().replaceAll(/\s+/g, " ");

/**
 * Opens a network in ONNX's format on the CPU by the optional package onnxruntime-node, which is loaded now.
 * @param file - a path, or the file's bytes
 * @param name - for messages; default the path
 * @throws InputError when there is no such file
 * @throws FormatError in one line that names the file when it is no network of one float32 input
 * @throws DeviceError when onnxruntime-node is missing or does not load
 */
export async function openOnnx(file: string | Uint8Array, name?: string): Promise<OnnxSession> {
  const label = name ?? (typeof file === "string" ? file : "network");
  const bytes = typeof file === "string" ? await readAll(file) : file;
  const { InferenceSession, Tensor } = await loadRuntime();
  const refuse = (what: string) => (cause: unknown) => {
    throw new FormatError(label, `${what}: ${oneLine(cause)}`, { cause });
  };
  if (bytes.length === 0) throw new FormatError(label, "the file is empty");
  const session = await InferenceSession.create(bytes, {
    executionProviders: ["cpu"],
    logSeverityLevel: 4,
  }).catch(refuse("is not a network that ONNX Runtime reads"));
  const [input, ...others] = session.inputNames;
  if (input === undefined || others.length > 0) {
    await session.release();
    throw new FormatError(label, `the network has ${session.inputNames.length} inputs, there must be one`);
  }
  return {
    name: label,
    run: async (data, shape) => {
      const feeds = { [input]: new Tensor("float32", data, shape) };
      const results = await session.run(feeds).catch(refuse(`does not run on [${shape.join(", ")}]`));
      return session.outputNames.map((output) => {
        const { data: values, dims, type } = results[output]!;
        if (!(values instanceof Float32Array)) throw new FormatError(label, `output ${output} is ${type}, not float32`);
        return { data: values, shape: dims };
      });
    },
    close: () => session.release(),
  };
}

async function readAll(path: string): Promise<Uint8Array> {
  const source = await fileSource(path);
  try {
    return await source.read(0, source.size);
  } finally {
    await source.close();
  }
}
