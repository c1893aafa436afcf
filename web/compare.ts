import { find, paint, shape } from "./dom.ts";
import type { Shown } from "./protocol.ts";

/** Before and after, one over the other, with a slider between them. */
export class Compare {
  readonly #stage = find("#compare");
  readonly #slider = find<HTMLInputElement>("#compare input");

  constructor() {
    this.#slider.addEventListener("input", () => this.#split());
    this.#split();
  }

  show(before: Shown, after: Shown): void {
    const { width, height } = after.bitmap;
    shape(this.#stage, after);
    paint(find<HTMLCanvasElement>("#compare [data-after]"), after.bitmap, width, height);
    const canvas = find<HTMLCanvasElement>("#compare [data-before]");
    [canvas.width, canvas.height] = [width, height];
    const scale = Math.min(width / before.width, height / before.height); // padded where the shapes differ
    const [w, h] = [before.width * scale, before.height * scale];
    canvas.getContext("2d")!.drawImage(before.bitmap, (width - w) / 2, (height - h) / 2, w, h);
    this.#stage.hidden = false;
  }

  hide(): void {
    this.#stage.hidden = true;
  }

  #split(): void {
    const shown = this.#slider.valueAsNumber;
    this.#stage.style.setProperty("--split", `${100 - shown}%`);
    this.#slider.setAttribute("aria-valuetext", `${shown} % result`);
  }
}
