import { InputError } from "../util/errors.ts";
import type { GrayImage, RgbImage } from "../vision/image.ts";

/** An option that is one of some names. @throws InputError that lists them */
export function checkChoice(option: string, value: unknown, known: readonly string[], op = "try-on"): void {
  if (value !== undefined && !known.includes(value as string))
    throw new InputError(op, `${option} is ${shown(value)}: there are ${known.join(", ")}`);
}

/** A value as an error shows it. */
export const shown = (value: unknown): string =>
  typeof value === "string" ? JSON.stringify(value) : typeof value === "object" && value ? "an object" : String(value);

/** What a pipeline was called with. @throws InputError when it is no object; `example` shows what is needed */
export function checkInputs(op: string, inputs: unknown, example: string): void {
  if (typeof inputs !== "object" || inputs === null)
    throw new InputError(op, `called with ${shown(inputs)}; ${example} is needed`);
}

/** Throws unless it is a picture of that many channels. */
export function checkPicture(name: string, image: RgbImage | GrayImage | undefined, channels: 1 | 3): void {
  const what = channels === 3 ? "RGB" : "grey";
  if (!ArrayBuffer.isView(image?.data))
    throw new InputError(name, `it is ${shown(image)}; a picture of ${what} { width, height, data } is needed`);
  const { width, height, data } = image;
  if (!(Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0))
    throw new InputError(name, `its size is ${width}x${height}`);
  if (data.length !== width * height * channels)
    throw new InputError(
      name,
      `${data.length} bytes for ${width}x${height} pixels, ${what} needs ${width * height * channels}`,
    );
}
