import { checkpoint, checkpointAll } from "../../tensor/tape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Conditioning } from "./conditioning.ts";
import { Capture } from "./fusion.ts";

/** A part of a UNet: from the image, and whatever else gradients flow to, to the image. */
type Part = (conditioning: Conditioning, x: Tensor, ...more: Tensor[]) => Tensor;

/**
 * Runs a part of a UNet. With checkpointing a tape keeps its inputs alone, and it runs again when gradients flow back.
 * Tokens that it captures come out of it as results of their own: gradients of the try-on network arrive at them.
 */
export function runPart(conditioning: Conditioning, part: Part, ...inputs: [Tensor, ...Tensor[]]): Tensor {
  const run = (own: Conditioning, [x, ...more]: readonly Tensor[]) => part(own, x!, ...more);
  if (!conditioning.checkpointing) return run(conditioning, inputs);
  const { fusion } = conditioning;
  if (!(fusion instanceof Capture)) return checkpoint((...own) => run(conditioning, own), ...inputs);
  let places: number[] = [];
  const capturing = (...own: Tensor[]) => {
    const capture = new Capture();
    try {
      const y = run({ ...conditioning, fusion: capture }, own);
      places = Object.keys(capture.tokens).map(Number); // those of this part: the list has holes
      const tokens = places.map((place) => capture.tokens[place]!);
      for (const captured of tokens) y.device.adopt(captured);
      return [y, ...tokens];
    } catch (error) {
      capture.dispose();
      throw error;
    }
  };
  const [y, ...tokens] = checkpointAll(capturing, ...inputs);
  for (const [i, captured] of tokens.entries()) fusion.tokens[places[i]!] = captured.keep();
  return y!;
}
