import { ShaderError, type ToileError } from "../util/errors.ts";
import { variantName, type Access, type Kernel } from "./kernel.ts";
import { unknownTimes } from "./pace.ts";
import { sourceLine, specialise, type Spec } from "./wgsl.ts";

export interface Pipeline {
  readonly name: string;
  readonly layout: GPUBindGroupLayout;
  /** Of each storage binding. */
  readonly access: readonly Access[];
  /** What its dispatches take. */
  readonly times: Float64Array;
  /** Set once compiled. */
  compiled: GPUComputePipeline | undefined;
  /** Set when it does not compile. */
  failure: ToileError | undefined;
  /** Settles when either is set; rejects when it does not compile. */
  ready: Promise<void>;
}

const COMPUTE = 4; // GPUShaderStage.COMPUTE

/** Compiles each (kernel, spec) once, all of them in parallel and none on the caller's time. */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #pipelines = new Map<string, Pipeline>();
  readonly #layouts = new Map<string, { bind: GPUBindGroupLayout; pipeline: GPUPipelineLayout }>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  get count(): number {
    return this.#pipelines.size;
  }

  clear(): void {
    this.#pipelines.clear();
    this.#layouts.clear();
  }

  get(kernel: Kernel, overrides: Spec = {}): Pipeline {
    const spec = { ...kernel.spec, ...overrides };
    const name = variantName(kernel, spec);
    let pipeline = this.#pipelines.get(name);
    if (!pipeline) {
      const layout = this.#layout(kernel);
      const access: Access[] = Object.values(kernel.bind);
      const ready = Promise.resolve();
      const state = { compiled: undefined, failure: undefined, ready };
      const made: Pipeline = { name, layout: layout.bind, access, times: unknownTimes(), ...state };
      made.ready = this.#compile(made, kernel, spec, layout.pipeline);
      made.ready.catch((error: ToileError) => (made.failure = error));
      pipeline = made;
      this.#pipelines.set(name, pipeline);
    }
    return pipeline;
  }

  #layout(kernel: Kernel) {
    const access = Object.values(kernel.bind);
    const key = access.join();
    let layout = this.#layouts.get(key);
    if (!layout) {
      const bind = this.#device.createBindGroupLayout({
        entries: [
          { binding: 0, visibility: COMPUTE, buffer: { type: "uniform", hasDynamicOffset: true } },
          ...access.map((mode, i) => ({
            binding: i + 1,
            visibility: COMPUTE,
            buffer: { type: mode === "read" ? ("read-only-storage" as const) : ("storage" as const) },
          })),
        ],
      });
      layout = { bind, pipeline: this.#device.createPipelineLayout({ bindGroupLayouts: [bind] }) };
      this.#layouts.set(key, layout);
    }
    return layout;
  }

  async #compile(pipeline: Pipeline, kernel: Kernel, spec: Spec, layout: GPUPipelineLayout): Promise<void> {
    const texts = kernel.files.map((file) => file.text);
    const code = specialise(kernel.name, texts, spec);
    this.#device.pushErrorScope("validation");
    const module = this.#device.createShaderModule({ label: pipeline.name, code });
    const scope = this.#device.popErrorScope();
    try {
      pipeline.compiled = await this.#device.createComputePipelineAsync({
        label: pipeline.name,
        layout,
        compute: { module, entryPoint: "main" },
      });
      await scope;
    } catch (error) {
      const { messages } = await module.getCompilationInfo();
      const first = messages.find((message) => message.type === "error");
      if (!first)
        throw new ShaderError(pipeline.name, String((error as Error).message).split("\n")[0]!, { cause: error });
      const at = sourceLine(texts, first.lineNum);
      const where = `${kernel.files[at.file]!.name}:${at.line}:${first.linePos}`;
      throw new ShaderError(pipeline.name, `${where} ${first.message}`, { cause: error });
    }
  }
}
