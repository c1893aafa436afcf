import { loadModule } from "../checkpoint/load.ts";
import type { ByteSource, Folder } from "../checkpoint/source.ts";
import { openTensors } from "../checkpoint/tensors.ts";
import type { Device } from "../gpu/device.ts";
import { OpenposeBody } from "../models/openpose/body.ts";
import { cast } from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { RgbImage } from "../vision/image.ts";
import { missingNetwork } from "../vision/parsing.ts";
import { decodePose, posePixels, type FoundPose, type PoseOptions } from "../vision/pose.ts";

/** Where the published folder keeps the body network. */
export const POSE_CHECKPOINT = "openpose/ckpts/body_pose_model";
const ENDINGS = [".safetensors", ".pth"];

/**
 * Loads the body network from a file: `body_pose_model.pth` as published, or its weights as safetensors. Keys may have
 * the prefixes of the published code's modules ("model0."), which the published file lacks.
 * @throws WeightsError, FormatError
 */
export async function loadPoseNetwork(
  device: Device,
  file: ByteSource,
  { dtype = "f32" }: { readonly dtype?: "f32" | "f16" } = {},
): Promise<OpenposeBody> {
  const source = await openTensors(file);
  try {
    const network = new OpenposeBody();
    const rename = (key: string) => key.replace(/^model\d(_[12])?\./, "");
    await loadModule(device, network, source, { label: "openpose", dtype, rename });
    return network;
  } finally {
    await source.close();
  }
}

/** Where a checkpoint folder has the body network. @throws InputError that names the file when it is missing */
export async function findPoseNetwork(folder: Folder): Promise<string> {
  for (const ending of ENDINGS) if (await folder.has(POSE_CHECKPOINT + ending)) return POSE_CHECKPOINT + ending;
  throw missingNetwork(folder, `${POSE_CHECKPOINT}.pth`);
}

/** Loads the body network from a checkpoint folder. @throws InputError that names the file when it is missing */
export async function openPoseNetwork(
  device: Device,
  folder: Folder,
  options?: { readonly dtype?: "f32" | "f16" },
): Promise<OpenposeBody> {
  return loadPoseNetwork(device, await folder.open(await findPoseNetwork(folder)), options);
}

/**
 * Finds the person in a picture of 384x512 and everybody else in it.
 * @throws NoPersonError when there is nobody; ShapeError for another size
 */
export async function estimatePose(
  device: Device,
  network: OpenposeBody,
  image: RgbImage,
  options: PoseOptions = {},
): Promise<FoundPose> {
  const { data, shape } = posePixels(image);
  const { paf, heat } = device.scope(() => network.forward(cast(Tensor.from(device, data, shape), network.dtype)));
  try {
    const [fields, heats] = [await paf.data(), await heat.data()];
    return decodePose({ paf: fields, heat: heats }, options);
  } finally {
    paf.dispose();
    heat.dispose();
  }
}
