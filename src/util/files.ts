/** Bytes of which any run can be read: a file, a Blob, an array. */
export interface ByteSource {
  /** What errors call it: a file name. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Exactly `length` bytes in a buffer of their own, which begins with them. Fails when it cannot give them all. */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  close?(): Promise<void>;
}

/** A checkpoint's folder, wherever it lies. Paths are relative, with forward slashes. */
export interface Folder {
  readonly name: string;
  has(path: string): Promise<boolean>;
  open(path: string): Promise<ByteSource>;
  text(path: string): Promise<string>;
}
