/** Bytes of which any run can be read: a file, a Blob, an array. */
export interface ByteSource {
  /** What errors call it: a file name. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Exactly `length` bytes in a buffer of their own, which begins with them. Fails when it cannot give them all. */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Lets go of what is open; a source may have nothing to close. */
  close?(): Promise<void>;
}

/** A checkpoint's folder, wherever it lies. Paths are relative, with forward slashes. */
export interface Folder {
  /** What errors call it: its path. */
  readonly name: string;
  /** Whether there is a file at the path. */
  has(path: string): Promise<boolean>;
  /** The file at the path, to be closed by who opened it. @throws InputError when there is none */
  open(path: string): Promise<ByteSource>;
  /** The whole file at the path as UTF-8. @throws InputError when there is none */
  text(path: string): Promise<string>;
}

/** What a file is written from: all its bytes, or pieces of them in order. */
export type FileContent = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** A folder under construction: its files appear under its name together, by `commit`, or never. */
export interface StagedFolder {
  readonly name: string;
  /** @returns the SHA-256 of what was written, in hexadecimal */
  write(path: string, content: FileContent): Promise<string>;
  commit(): Promise<void>;
  discard(): Promise<void>;
}

/** A folder that a training run writes to. */
export interface OutputFolder extends Folder {
  /** Names of the finished folders in it. */
  list(): Promise<string[]>;
  /** Names of the folders in it that were begun by `stage` and are not finished. */
  unfinished(): Promise<string[]>;
  /** Begins a folder. @param options `replace` (true unless given): whether `commit` may take the place of one of that name */
  stage(name: string, options?: { readonly replace?: boolean }): Promise<StagedFolder>;
  /** SHA-256 of a file, in hexadecimal. */
  digest(path: string): Promise<string>;
  /** Removes a folder in it. */
  remove(name: string): Promise<void>;
  /** Writes a file whole or not at all. */
  write(path: string, content: FileContent): Promise<void>;
  /** Adds to the end of a file. */
  append(path: string, content: string | Uint8Array): Promise<void>;
}

/** A network run by ONNX Runtime. */
export interface OnnxSession {
  /** The file's name, for messages. */
  readonly name: string;
  /** Runs the network on its one input. @returns its outputs in the order in which the file declares them */
  run(input: Float32Array, shape: readonly number[]): Promise<readonly OnnxOutput[]>;
  /** Frees the network. */
  close(): Promise<void>;
}

export interface OnnxOutput {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/** What lies outside the browser-safe core. `requestDevice` of `toile/node` supplies Node's. */
export interface Host {
  /** A checkpoint's folder by its path. */
  openFolder(path: string): Folder;
  /** An ONNX network of a file's bytes; the name is for messages. */
  openOnnx(bytes: Uint8Array, name: string): Promise<OnnxSession>;
  /** Told of every promise that waits for the GPU, so that the waiting may cost less. */
  whileBusy?(done: Promise<unknown>): void;
}
