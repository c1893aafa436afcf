// Names are spelled out: bundlers shorten those of classes.

/** Base of every error this library throws on purpose: `op: what is wrong, with the numbers`. */
export class ToileError extends Error {
  static {
    this.prototype.name = "ToileError";
  }
  /** The operation, file or part that refused. */
  readonly op: string;
  constructor(op: string, what: string, options?: ErrorOptions) {
    super(`${op}: ${what}`, options);
    this.op = op;
  }
}

/** Shapes, counts or sizes that do not fit together. */
export class ShapeError extends ToileError {
  static {
    this.prototype.name = "ShapeError";
  }
}

/** Element types that do not fit together. */
export class DTypeError extends ToileError {
  static {
    this.prototype.name = "DTypeError";
  }
}

/** No adapter, or one that lacks what was asked for. */
export class DeviceError extends ToileError {
  static {
    this.prototype.name = "DeviceError";
  }
}

/** The device went away; `retryable` says whether a fresh device may be asked to do the work again. */
export class DeviceLostError extends ToileError {
  static {
    this.prototype.name = "DeviceLostError";
  }
  /** Whether a fresh device may be asked to do the work again: false where `destroy()` was called. */
  readonly retryable: boolean;
  constructor(op: string, what: string, retryable: boolean) {
    super(op, what);
    this.retryable = retryable;
  }
}

/** A buffer that the device cannot give. `limit` is the device's limit in bytes, where that is what stood in the way. */
export class OutOfMemoryError extends ToileError {
  static {
    this.prototype.name = "OutOfMemoryError";
  }
  /** How many were asked for. */
  readonly bytes: number;
  /** The device's limit in bytes, where that is what stood in the way. */
  readonly limit: number | undefined;
  constructor(op: string, what: string, bytes: number, limit?: number) {
    super(op, what);
    this.bytes = bytes;
    this.limit = limit;
  }
}

/** WGSL that does not compile: names the kernel, its spec, the file and the line. */
export class ShaderError extends ToileError {
  static {
    this.prototype.name = "ShaderError";
  }
}

/** A kernel used against its declaration. */
export class KernelError extends ToileError {
  static {
    this.prototype.name = "KernelError";
  }
}

/** Weights that do not fit the model: lists every missing, unexpected or misshapen tensor. */
export class WeightsError extends ToileError {
  static {
    this.prototype.name = "WeightsError";
  }
}

/** A malformed file. */
export class FormatError extends ToileError {
  static {
    this.prototype.name = "FormatError";
  }
}

/** Bad input from the caller: an option, a picture, a folder. */
export class InputError extends ToileError {
  static {
    this.prototype.name = "InputError";
  }
}

/** A picture or latent that is no longer a number; names the module that produced it first. */
export class NonFiniteError extends ToileError {
  static {
    this.prototype.name = "NonFiniteError";
  }
}

/** Nothing is left to paint: no garment of the category was found, or everything found is protected. */
export class EmptyMaskError extends InputError {
  static {
    this.prototype.name = "EmptyMaskError";
  }
}

/** Nobody was found in a picture that should show a person. */
export class NoPersonError extends InputError {
  static {
    this.prototype.name = "NoPersonError";
  }
}
