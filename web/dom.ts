/** The one element that a selector names. @throws Error when the page has none */
export function find<E extends Element = HTMLElement>(selector: string, within: ParentNode = document): E {
  const element = within.querySelector<E>(selector);
  if (!element) throw new Error(`the page has no ${selector}`);
  return element;
}

/** A canvas as large as a picture, with the picture on it. */
export function paint(canvas: HTMLCanvasElement, bitmap: CanvasImageSource, width: number, height: number): void {
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d")!.drawImage(bitmap, 0, 0, width, height);
}

/** Gives a stage a picture's shape. */
export function shape(stage: HTMLElement, { width, height }: { width: number; height: number }): void {
  stage.style.setProperty("--ratio", String(width / height));
}

/** One line for people. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Offers a file to be saved. */
export function save(name: string, blob: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser reads it later
}
