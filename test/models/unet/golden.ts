import type { Device } from "../../../src/gpu/device.ts";
import type { UNet2DConditionModel } from "../../../src/models/unet/unet.ts";
import type { TextKeyValues } from "../../../src/models/unet/conditioning.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import type { FixtureTensor } from "../../helpers.ts";

/** The text of a reference run, given to both guidance halves alike. */
export function encodeText(
  gpu: Device,
  unet: UNet2DConditionModel,
  golden: ReadonlyMap<string, FixtureTensor>,
): TextKeyValues {
  const { shape, data } = golden.get("prompt_embeds")!;
  return gpu.scope(() => unet.encodeText(Tensor.from(gpu, data, shape)));
}
