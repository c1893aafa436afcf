import type { GrayImage } from "toile";
import { find, paint, shape } from "./dom.ts";
import { Mask, type Point, type Rect } from "./mask.ts";

/** Longest side on which masks are painted: the try-on's own largest. */
const LONGEST = 1024;
/** Colour and opacity of what may be repainted. */
const TINT = [214, 88, 62, 140] as const;

export interface MaskEditorOptions {
  /** Grows or shrinks a mask, which takes too long for the page's own thread. */
  readonly grow: (mask: GrayImage, pixels: number) => Promise<GrayImage>;
  readonly onChange: (mask: Mask) => void;
}

/** The person's picture with a mask that is painted by pointer or by keys. */
export class MaskEditor {
  readonly #stage = find("#editor");
  readonly #picture = find<HTMLCanvasElement>("#editor [data-picture-canvas]");
  readonly #canvas = find<HTMLCanvasElement>("#editor [data-mask-canvas]");
  readonly #ring = find("#editor [data-ring]");
  readonly #tools = find("#tools");
  readonly #size = find<HTMLInputElement>("#tools [data-size]");
  readonly #options: MaskEditorOptions;
  #mask: Mask | undefined;
  #initial: Uint8Array = new Uint8Array();
  #overlay: ImageData | undefined;
  #value: 0 | 255 = 255;
  /** Where the brush is, in the mask's pixels. */
  #at: Point = { x: 0, y: 0 };
  /** The pointer whose stroke goes on: a second finger does not paint, or a bar would join the two. */
  #painter: number | undefined;
  #growing: Promise<void> = Promise.resolve();

  constructor(options: MaskEditorOptions) {
    this.#options = options;
    this.#listenToPointer();
    this.#canvas.addEventListener("keydown", (event) => this.#key(event));
    this.#canvas.addEventListener("focus", () => this.#showRing());
    this.#canvas.addEventListener("blur", () => (this.#ring.hidden = true));
    this.#size.addEventListener("input", () => this.#showRing());
    this.#tools.addEventListener("click", ({ target }) => {
      const tool = (target as HTMLElement).dataset["tool"];
      if (tool !== undefined) void this.#use(tool);
    });
  }

  get #isPainting(): boolean {
    return this.#painter !== undefined;
  }

  get mask(): Mask | undefined {
    return this.#mask;
  }

  /** Size of masks for a picture. */
  static sizeFor(width: number, height: number): { width: number; height: number } {
    const scale = Math.min(1, LONGEST / Math.max(width, height));
    return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
  }

  /** Shows a picture under a mask of any size. Nothing can be taken back across this. */
  open(bitmap: ImageBitmap, mask: GrayImage): void {
    const { width, height } = mask;
    paint(this.#picture, bitmap, width, height);
    [this.#canvas.width, this.#canvas.height] = [width, height];
    shape(this.#stage, mask);
    this.#mask = new Mask(mask);
    this.#initial = this.#mask.data.slice();
    this.#overlay = new ImageData(width, height);
    this.#at = { x: width / 2, y: height / 2 };
    this.#stage.hidden = this.#tools.hidden = false;
    this.#changed();
  }

  /** Shows another picture alone: the mask before belongs to another one. */
  clear(bitmap: ImageBitmap): void {
    this.#mask = undefined;
    const size = MaskEditor.sizeFor(bitmap.width, bitmap.height);
    paint(this.#picture, bitmap, size.width, size.height);
    [this.#canvas.width, this.#canvas.height] = [size.width, size.height];
    shape(this.#stage, size);
    for (const tool of ["undo", "redo"]) this.#allow(tool, false);
  }

  #listenToPointer(): void {
    const canvas = this.#canvas;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !this.#mask || this.#isPainting) return;
      canvas.setPointerCapture(event.pointerId);
      this.#at = this.#place(event);
      this.#painter = event.pointerId;
      this.#mask.begin();
      this.#paintTo(this.#at);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.#isPainting && event.pointerId !== this.#painter) return;
      const places = this.#isPainting ? (event.getCoalescedEvents?.() ?? []) : [];
      for (const place of places.length > 0 ? places : [event]) {
        if (this.#isPainting && this.#mask) this.#paintTo(this.#place(place));
        else this.#at = this.#place(place);
      }
      this.#showRing();
    });
    const end = ({ pointerId }: PointerEvent) => {
      if (pointerId !== this.#painter) return;
      this.#painter = undefined;
      if (!this.#mask) return; // taken away meanwhile
      this.#changed({ left: 0, top: 0, right: 0, bottom: 0 });
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", () => (this.#ring.hidden = !canvas.matches(":focus-visible")));
  }

  #place({ clientX, clientY }: MouseEvent): Point {
    const box = this.#canvas.getBoundingClientRect();
    const scale = this.#canvas.width / box.width;
    return { x: (clientX - box.left) * scale, y: (clientY - box.top) * scale };
  }

  /** Half the brush's width, in the mask's pixels: the slider's numbers are for a picture 512 pixels high. */
  get #radius(): number {
    return Math.max(0.7, ((this.#size.valueAsNumber / 2) * this.#canvas.height) / 512);
  }

  #paintTo(to: Point): void {
    this.#draw(this.#mask!.stroke(this.#at, to, this.#radius, this.#value));
    this.#at = to;
  }

  #key(event: KeyboardEvent): void {
    const key = event.key.toLowerCase();
    const command = event.ctrlKey || event.metaKey;
    if (command && (key === "z" || key === "y")) void this.#use(key === "y" || event.shiftKey ? "redo" : "undo");
    else if (command || event.altKey || !this.#mask) return;
    else if (key.startsWith("arrow")) this.#move(key.slice(5), event.shiftKey ? 4 : 1);
    else if (key === " ") this.#dab(event.repeat);
    else if (key in KEYS) void this.#use(KEYS[key]!);
    else if (key === "[" || key === "]") {
      this.#size.valueAsNumber += key === "]" ? 4 : -4;
      this.#showRing();
    } else return;
    event.preventDefault(); // Space and arrows would scroll
  }

  #move(direction: string, times: number): void {
    const step = times * Math.max(1, this.#radius / 2);
    const [dx, dy] = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] }[direction] as [number, number];
    const { width, height } = this.#canvas;
    this.#at = {
      x: Math.min(width, Math.max(0, this.#at.x + dx * step)),
      y: Math.min(height, Math.max(0, this.#at.y + dy * step)),
    };
    this.#showRing();
  }

  #dab(isRepeated: boolean): void {
    if (isRepeated) return;
    this.#mask!.begin();
    this.#paintTo(this.#at);
    this.#changed({ left: 0, top: 0, right: 0, bottom: 0 });
  }

  async #use(tool: string): Promise<void> {
    const mask = this.#mask;
    if (!mask) return;
    if (tool === "add" || tool === "erase") return this.#choose(tool);
    if (this.#isPainting) return; // a stroke is taken back when it is whole
    if (tool === "undo") mask.undo();
    else if (tool === "redo") mask.redo();
    else if (tool === "reset") mask.replace(this.#initial);
    else {
      this.#growing = this.#growing.then(() => this.#grow(mask, tool === "grow" ? 1 : -1)).catch(() => undefined);
      return this.#growing;
    }
    this.#changed();
  }

  /** One after the other, and again where something was painted meanwhile. */
  async #grow(mask: Mask, sign: 1 | -1): Promise<void> {
    const pixels = sign * Math.max(1, Math.round(mask.height / 100));
    for (;;) {
      const { version } = mask;
      const grown = await this.#options.grow(mask.image(), pixels);
      if (this.#mask !== mask) return; // another picture came in between
      if (mask.version !== version || this.#isPainting) continue;
      mask.replace(grown.data);
      return this.#changed();
    }
  }

  #choose(tool: "add" | "erase"): void {
    this.#value = tool === "add" ? 255 : 0;
    for (const button of this.#tools.querySelectorAll<HTMLElement>("[aria-pressed]"))
      button.setAttribute("aria-pressed", String(button.dataset["tool"] === tool));
  }

  /** A button that has the focus hands it on before it is disabled, to where the keys work as well. */
  #allow(tool: string, isAllowed: boolean): void {
    const button = find<HTMLButtonElement>(`[data-tool="${tool}"]`, this.#tools);
    if (!isAllowed && document.activeElement === button) this.#canvas.focus();
    button.disabled = !isAllowed;
  }

  /** Draws the mask, all of it or a part, and tells. */
  #changed(part?: Rect): void {
    const mask = this.#mask!;
    this.#draw(part ?? { left: 0, top: 0, right: mask.width, bottom: mask.height });
    this.#allow("undo", mask.canUndo);
    this.#allow("redo", mask.canRedo);
    this.#options.onChange(mask);
  }

  #draw({ left, top, right, bottom }: Rect): void {
    const [mask, overlay] = [this.#mask!, this.#overlay!];
    if (right <= left || bottom <= top) return;
    const pixels = new Uint32Array(overlay.data.buffer);
    const tint = new Uint32Array(new Uint8Array(TINT).buffer)[0]!;
    for (let y = top; y < bottom; y++)
      for (let i = y * mask.width + left; i < y * mask.width + right; i++) pixels[i] = mask.data[i] === 0 ? 0 : tint;
    this.#canvas.getContext("2d")!.putImageData(overlay, 0, 0, left, top, right - left, bottom - top);
  }

  #showRing(): void {
    const { width, height } = this.#canvas;
    const { style } = this.#ring;
    style.left = `${(100 * this.#at.x) / width}%`;
    style.top = `${(100 * this.#at.y) / height}%`;
    style.width = `${(200 * this.#radius) / width}%`;
    this.#ring.hidden = false;
  }
}

const KEYS: Readonly<Record<string, string>> = { a: "add", e: "erase", g: "grow" };
