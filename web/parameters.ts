import type { Shown, TryOnReply } from "./protocol.ts";
import type { Settings } from "./settings.ts";

/** The text chunks of a result's PNG, spelled as the command writes them: for people, and for programs. */
export function parametersOf(
  settings: Settings,
  { seed, dtype }: TryOnReply,
  pictures: { readonly person: Shown; readonly garment: Shown },
  sample: number,
): Record<string, string> {
  const { model, category, steps, scheduler, guidanceScale: scale, samples, width, height } = settings;
  const { trimGarment, pasteBack } = settings;
  const numbers = { model, category, steps, scheduler, scale, seed, sample, samples, width, height, dtype };
  const made = { ...numbers, trimGarment, pasteBack };
  const [person, garment] = [pictures.person.name, pictures.garment.name];
  const readable = Object.entries({ person, garment, ...made }).map(([name, value]) => `${name}: ${value}`);
  return {
    parameters: readable.join(", "),
    toile: JSON.stringify({ ...made, repaint: true, person, garment, mask: "painted" }),
    Software: "toile",
  };
}

export const fileName = ({ model }: Settings, { seed }: TryOnReply, sample: number): string =>
  `toile_${model}_${seed}_${sample}.png`;
