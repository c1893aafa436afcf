import type { Device } from "../gpu/device.ts";
import { watchOutputs } from "../nn/non_finite.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { TrainedNetwork } from "./masters.ts";

/**
 * Names the layer at which a step's numbers stopped being finite: the first such output of its forward passes, which run
 * again, or the layer nearest to the loss among those whose parameters have such gradients.
 * @param gradients names of the parameters whose gradients are not finite
 */
export async function nonFiniteLayer(
  device: Device,
  networks: readonly TrainedNetwork[],
  losses: readonly (() => Tensor)[],
  gradients: readonly string[],
): Promise<string> {
  const named = new Map(networks.map(({ folder, module }) => [folder, module]));
  const repeat = () => device.scope(() => losses.forEach((loss) => void loss()));
  const { order, firstBad } = await watchOutputs(named, repeat);
  if (firstBad !== undefined) return `the first layer whose output is not finite is ${firstBad}`;
  const layers = gradients.map((name) => name.slice(0, name.lastIndexOf(".")));
  const last = layers.sort((a, b) => order.lastIndexOf(b) - order.lastIndexOf(a))[0];
  if (last === undefined) return "every layer's output is finite, and so are the gradients";
  return `every layer's output is finite; on the way back the first gradient that is not is that of ${last}`;
}
