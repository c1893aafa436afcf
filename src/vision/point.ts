/** A place in a picture, x to the right and y down, in pixels. */
export interface Point {
  readonly x: number;
  readonly y: number;
}
