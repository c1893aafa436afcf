import { Device, type DeviceOptions } from "./device.ts";
import type { DeviceFacts } from "./facts.ts";

/**
 * A device that computes nothing and has no memory, yet counts what is asked of it: `memory` after a pass over it, or
 * the plan of a recording, is what a device with these facts would need.
 */
export function dryDevice(facts: DeviceFacts, options: DeviceOptions = {}): Device {
  return new Device(new DryDevice() as unknown as GPUDevice, facts, options);
}

class DryBuffer {
  readonly size: number;

  constructor({ size }: { size: number }) {
    this.size = size;
  }

  async mapAsync(): Promise<void> {}
  unmap(): void {}
  destroy(): void {}

  getMappedRange(): ArrayBuffer {
    return new ArrayBuffer(this.size);
  }
}

const ENCODER = { beginComputePass: () => PASS, copyBufferToBuffer() {}, finish: () => ({}) };
const PASS = { setPipeline() {}, setBindGroup() {}, dispatchWorkgroups() {}, end() {} };

/** What the library uses of a GPUDevice. */
class DryDevice {
  readonly lost = new Promise<never>(() => {});
  readonly queue = { writeBuffer() {}, submit() {}, onSubmittedWorkDone: async () => {} };

  createBuffer(descriptor: { size: number }): DryBuffer {
    return new DryBuffer(descriptor);
  }
  async popErrorScope(): Promise<null> {
    return null;
  }
  async createComputePipelineAsync(): Promise<object> {
    return {};
  }
  createCommandEncoder(): typeof ENCODER {
    return ENCODER;
  }
  createBindGroupLayout(): object {
    return {};
  }
  createPipelineLayout(): object {
    return {};
  }
  createShaderModule(): object {
    return {};
  }
  createBindGroup(): object {
    return {};
  }
  pushErrorScope(): void {}
  addEventListener(): void {}
  removeEventListener(): void {}
  destroy(): void {}
}
