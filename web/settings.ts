import { find } from "./dom.ts";
import type { Category, Checkpoint, Model, Started, TryOnRequest } from "./protocol.ts";

export type Settings = Omit<TryOnRequest, "person" | "garment" | "mask">;

const MODEL_NAMES: Readonly<Record<Model, string>> = { hd: "hd, tops", dc: "dc, all" };

/** The form. */
export class SettingsForm {
  readonly #form = find<HTMLFormElement>("#settings");

  constructor(onChange: (changed: string) => void) {
    this.#form.addEventListener("change", ({ target }) => {
      this.#allow();
      onChange((target as HTMLInputElement).name);
    });
  }

  /** Offers the models that the checkpoint holds, and what the library knows. */
  offer(started: Started): void {
    this.#select("scheduler").replaceChildren(...started.schedulers.map((name) => new Option(name, name)));
    this.offerCheckpoint(started);
  }

  /** Another checkpoint's models and usual numbers; the model that was chosen stays where there is one of its name. */
  offerCheckpoint({ models, sampling = { steps: 20, guidanceScale: 2 } }: Checkpoint): void {
    for (const [name, value] of Object.entries(sampling))
      find<HTMLInputElement>(`[name="${name}"]`, this.#form).value = String(value);
    const [select, before] = [this.#select("model"), this.model];
    select.replaceChildren(...models.map((model) => new Option(MODEL_NAMES[model], model)));
    if (models.includes(before)) select.value = before;
    this.#allow();
  }

  get model(): Model {
    return this.#select("model").value as Model;
  }

  get category(): Category {
    return new FormData(this.#form).get("category") as Category;
  }

  /** @throws Error when a number is missing or out of range, after showing where */
  read(): Settings {
    if (!this.#form.reportValidity()) throw new Error("A setting is not possible: see the field that is marked.");
    const values = new FormData(this.#form);
    const number = (name: string) => Number(values.get(name));
    const [width, height] = String(values.get("size")).split("x").map(Number) as [number, number];
    return {
      model: this.model,
      category: this.category,
      ...{ width, height },
      steps: number("steps"),
      guidanceScale: number("guidanceScale"),
      samples: number("samples"),
      seed: values.get("seed") === "" ? -1 : number("seed"),
      scheduler: String(values.get("scheduler")),
      trimGarment: values.has("trimGarment"),
      pasteBack: values.has("pasteBack"),
    };
  }

  /** The hd model knows tops only. */
  #allow(): void {
    const isHd = this.model === "hd";
    for (const radio of this.#form.querySelectorAll<HTMLInputElement>('[name="category"]')) {
      const isTop = radio.value === "upperbody";
      radio.disabled = isHd && !isTop;
      if (isHd) radio.checked = isTop;
    }
  }

  #select(name: string): HTMLSelectElement {
    return find<HTMLSelectElement>(`[name="${name}"]`, this.#form);
  }
}
