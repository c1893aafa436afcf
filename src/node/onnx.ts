import { fileSource } from "./files.ts";
import { DeviceError, FormatError } from "../util/errors.ts";
import { oneLine, onnxSession, type OnnxSession } from "../vision/onnx.ts";

/** Its install script would fetch libraries for CUDA, which nothing here uses. */
const INSTALL = "npm install onnxruntime-node --ignore-scripts";

async function loadRuntime() {
  const { default: runtime } = await import("onnxruntime-node").catch((cause: NodeJS.ErrnoException) => {
    const missing = cause.code === "ERR_MODULE_NOT_FOUND" ? `is missing: ${INSTALL}` : undefined;
    const what = missing ?? `does not load here: ${oneLine(cause)}`;
    throw new DeviceError("openOnnx", `the optional package onnxruntime-node ${what}`, { cause });
  });
  runtime.env.logLevel = "fatal"; // else it complains on stderr that it found no graphics card
  return runtime;
}

/** Finds out whether networks can be opened, before models are loaded in vain. @throws DeviceError */
export async function checkOnnx(): Promise<void> {
  await loadRuntime();
}

/**
 * Opens a network in ONNX's format on the CPU by the optional package onnxruntime-node, which is loaded now.
 * @param file - a path, or the file's bytes
 * @param name - for messages; default the path
 * @throws InputError when there is no such file
 * @throws FormatError in one line that names the file when it is no network of one input
 * @throws DeviceError when onnxruntime-node is missing or does not load
 */
export async function openOnnx(file: string | Uint8Array, name?: string): Promise<OnnxSession> {
  const label = name ?? (typeof file === "string" ? file : "network");
  const bytes = typeof file === "string" ? await readAll(file) : file;
  if (bytes.length === 0) throw new FormatError(label, "the file is empty");
  const runtime = await loadRuntime();
  const options = { executionProviders: ["cpu"], logSeverityLevel: 4 } as const;
  const session = await runtime.InferenceSession.create(bytes, options).catch((cause: unknown) => {
    throw new FormatError(label, `is not a network that ONNX Runtime reads: ${oneLine(cause)}`, { cause });
  });
  return onnxSession(label, runtime, session);
}

async function readAll(path: string): Promise<Uint8Array> {
  const source = await fileSource(path);
  try {
    return await source.read(0, source.size);
  } finally {
    await source.close();
  }
}
