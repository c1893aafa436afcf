import type { Phase } from "toile";
import { find, paint, shape } from "./dom.ts";
import type { Shown, TryOnEvent } from "./protocol.ts";

/** What each phase is called, and its share of the bar. */
const PHASES: Readonly<Record<Phase, readonly [name: string, share: number]>> = {
  load: ["Loading the model", 0.1],
  prompt: ["Reading the prompt", 0],
  pose: ["Looking for the pose", 0],
  parse: ["Looking for clothes", 0],
  mask: ["Making the mask", 0],
  encode: ["Reading the person", 0.05],
  garment: ["Reading the garment", 0.05],
  denoise: ["Painting", 0.75],
  decode: ["Finishing", 0.05],
};
const ORDER = Object.keys(PHASES) as Phase[];

/** The bar, the phase in words, and the picture as far as it has come. */
export class ProgressView {
  readonly #box = find("#progress");
  readonly #bar = find<HTMLProgressElement>("#progress progress");
  readonly #phase = find("#phase");
  readonly #stage = find("#preview");
  readonly #canvas = find<HTMLCanvasElement>("#preview canvas");
  /** White where the garment is painted. */
  #window: HTMLCanvasElement | undefined;
  #person: Shown | undefined;

  /** @param mask - the mask as a picture with opacity */
  begin(person: Shown, mask: HTMLCanvasElement): void {
    [this.#person, this.#window] = [person, mask];
    this.#bar.value = 0;
    this.#phase.textContent = "Beginning …";
    this.#box.hidden = this.#stage.hidden = false;
    shape(this.#stage, person);
    paint(this.#canvas, person.bitmap, person.bitmap.width, person.bitmap.height);
  }

  hear(event: TryOnEvent): void {
    if (event.kind === "phase") this.#advance(event);
    else if (event.kind === "preview") this.#show(event.bitmap);
  }

  end(): void {
    this.#box.hidden = this.#stage.hidden = true;
  }

  #advance({ phase, done, total }: Extract<TryOnEvent, { kind: "phase" }>): void {
    const [name, share] = PHASES[phase];
    const before = ORDER.slice(0, ORDER.indexOf(phase)).reduce((sum, earlier) => sum + PHASES[earlier][1], 0);
    this.#bar.value = before + (share * done) / total;
    const text = phase === "denoise" && done > 0 ? `${name}, step ${done} of ${total}` : name;
    if (this.#phase.textContent !== text) this.#phase.textContent = text;
  }

  /** The preview inside the mask, the person around it. */
  #show(bitmap: ImageBitmap): void {
    const [{ width, height }, context] = [this.#canvas, this.#canvas.getContext("2d")!];
    const inside = new OffscreenCanvas(width, height);
    const painted = inside.getContext("2d")!;
    const scale = Math.max(width / bitmap.width, height / bitmap.height);
    const [w, h] = [bitmap.width * scale, bitmap.height * scale];
    painted.drawImage(bitmap, (width - w) / 2, (height - h) / 2, w, h);
    painted.globalCompositeOperation = "destination-in";
    painted.drawImage(this.#window!, 0, 0, width, height);
    context.drawImage(this.#person!.bitmap, 0, 0, width, height);
    context.drawImage(inside, 0, 0);
    bitmap.close();
  }
}
