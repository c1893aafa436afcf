import { createRequire } from "node:module";
import type { GrayImage } from "../../src/vision/image.ts";

// OpenCV 4.7 in WebAssembly, for what it says about masks. Later versions simplify contours otherwise.

interface Mat {
  readonly data: Uint8Array;
  readonly data32S: Int32Array;
  delete(): void;
}
interface MatVector {
  size(): number;
  get(i: number): Mat;
  push_back(mat: Mat): void;
  delete(): void;
}
interface OpenCV {
  readonly Mat: { new (): Mat; ones(rows: number, cols: number, type: number): Mat };
  readonly MatVector: new () => MatVector;
  readonly Scalar: new (...values: number[]) => object;
  readonly Point: new (x: number, y: number) => object;
  matFromArray(rows: number, cols: number, type: number, values: ArrayLike<number>): Mat;
  findContours(image: Mat, contours: MatVector, hierarchy: Mat, mode: number, method: number): void;
  contourArea(contour: Mat): number;
  drawContours(image: Mat, contours: MatVector, index: number, color: object, thickness: number): void;
  floodFill(image: Mat, mask: Mat, seed: object, value: object): number;
  dilate(from: Mat, to: Mat, kernel: Mat, anchor: object, iterations: number): void;
  readonly [constant: `C${string}` | `R${string}`]: number;
  onRuntimeInitialized: () => void;
}

/** Its object has a `then`: handed on in a wrapper, for `await` would call it for ever. */
export async function openCv(): Promise<{ readonly cv: OpenCV }> {
  const cv = createRequire(import.meta.url)("@techstark/opencv-js") as OpenCV;
  if (!("Mat" in cv)) await new Promise<void>((resolve) => ((cv as OpenCV).onRuntimeInitialized = resolve));
  return { cv };
}

export const matOf = (cv: OpenCV, { width, height, data }: GrayImage): Mat =>
  cv.matFromArray(height, width, cv.CV_8UC1!, data);

export type { Mat, MatVector, OpenCV };
