import { find } from "./dom.ts";
import type { Shown } from "./protocol.ts";

/** A card that takes a picture: by dropping, by choosing a file, or by clicking an example. */
export class PictureInput {
  readonly #card: HTMLElement;
  readonly #thumbs: HTMLElement;
  readonly #error: HTMLElement;

  constructor(selector: string, onFile: (file: File) => void) {
    this.#card = find(selector);
    this.#thumbs = find("[data-thumbs]", this.#card);
    this.#error = find("[data-error]", this.#card);
    const [input, area] = [find<HTMLInputElement>("[data-file]", this.#card), find("[data-picture]", this.#card)];
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      input.value = ""; // choosing the same file again is a choice
      if (file) onFile(file);
    });
    for (const type of ["dragenter", "dragover"] as const)
      area.addEventListener(type, (event) => {
        event.preventDefault();
        area.classList.add("over");
      });
    area.addEventListener("dragleave", () => area.classList.remove("over"));
    area.addEventListener("drop", (event) => {
      event.preventDefault();
      area.classList.remove("over");
      const file = event.dataTransfer?.files[0];
      if (file) onFile(file);
      else this.error = "What was dropped is no file: save the picture and drop that.";
    });
  }

  set error(message: string) {
    this.#error.textContent = message;
  }

  /** Says that a picture is there, and which example it is, if any. */
  taken(shown: Shown): void {
    this.error = "";
    this.#card.classList.add("filled");
    for (const button of this.#thumbs.querySelectorAll("button"))
      button.setAttribute("aria-pressed", String(button.dataset["id"] === String(shown.id)));
  }

  showExamples(examples: readonly Shown[], label: string, onChoose: (shown: Shown) => void): void {
    this.#thumbs.replaceChildren(...thumbnails(examples, label, onChoose));
  }
}

/** A button for each picture, of which one can be pressed. */
export function thumbnails(pictures: readonly Shown[], label: string, onChoose: (shown: Shown) => void): HTMLElement[] {
  return pictures.map((shown, i) => {
    const [button, canvas] = [document.createElement("button"), document.createElement("canvas")];
    const height = 96;
    [canvas.width, canvas.height] = [Math.round((height * shown.width) / shown.height), height];
    const context = canvas.getContext("2d")!;
    context.imageSmoothingQuality = "high";
    context.drawImage(shown.bitmap, 0, 0, canvas.width, canvas.height);
    button.type = "button";
    button.dataset["id"] = String(shown.id);
    button.setAttribute("aria-label", `${label} ${i + 1}`);
    button.setAttribute("aria-pressed", "false");
    button.append(canvas);
    button.addEventListener("click", () => onChoose(shown));
    return button;
  });
}
