/** A view into a storage: offset and strides count elements. */
export interface StridedView {
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** True where the elements lie one after the other in row-major order. */
export function isContiguous({ shape, strides }: StridedView): boolean {
  if (shape.includes(0)) return true;
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== step) return false;
    step *= shape[i]!;
  }
  return true;
}

/** Elements from the first to the last of a view that has some. */
export const spanOf = ({ shape, strides }: StridedView): number =>
  shape.reduce((span, size, i) => span + (size - 1) * strides[i]!, 1);

/**
 * Copies a view into row-major order.
 * @param span - the storage's bytes from the view's first element to its last, in a buffer that begins with them
 * @param itemBytes - 1, 2, 4 or 8
 */
export function gather(span: Uint8Array<ArrayBuffer>, itemBytes: number, view: StridedView): Uint8Array<ArrayBuffer> {
  if (itemBytes === 8) return copy(new BigUint64Array(span.buffer), new BigUint64Array(elements(view)), view);
  if (itemBytes === 4) return copy(new Uint32Array(span.buffer), new Uint32Array(elements(view)), view);
  if (itemBytes === 2) return copy(new Uint16Array(span.buffer), new Uint16Array(elements(view)), view);
  return copy(span, new Uint8Array(elements(view)), view);
}

const elements = ({ shape }: StridedView): number => shape.reduce((product, size) => product * size, 1);

interface Items<T> {
  readonly length: number;
  readonly buffer: ArrayBuffer;
  [index: number]: T;
}

function copy<T>(from: Items<T>, to: Items<T>, { shape, strides }: StridedView): Uint8Array<ArrayBuffer> {
  const index = new Array<number>(shape.length).fill(0);
  let at = 0;
  for (let i = 0; i < to.length; i++) {
    to[i] = from[at]!;
    for (let dim = shape.length - 1; dim >= 0; dim--) {
      at += strides[dim]!;
      if (++index[dim]! < shape[dim]!) break;
      at -= strides[dim]! * shape[dim]!;
      index[dim] = 0;
    }
  }
  return new Uint8Array(to.buffer);
}
