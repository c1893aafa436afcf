export { requestDevice, type RequestOptions } from "./gpu/request.ts";
export type { Device } from "./gpu/device.ts";
export type { Recording, RecordingMemory } from "./gpu/recording.ts";
export type { DeviceFacts, DeviceLimits } from "./gpu/facts.ts";
export { defineKernel, type Dispatch, type Kernel, type KernelDeclaration, type View } from "./gpu/kernel.ts";
export * from "./util/errors.ts";
export { TorchGenerator } from "./util/random.ts";
export { Tensor, type DType } from "./tensor/tensor.ts";
export * as ops from "./tensor/ops.ts";
export { checkpoint, checkpointAll, grad, Tape, valueAndGrad } from "./tensor/tape.ts";
export { recorded, type Rule } from "./tensor/recording.ts";
export { createScheduler, type Scheduler } from "./schedulers/create.ts";
export { loadModule } from "./checkpoint/load.ts";
export { loadSafetensors } from "./checkpoint/load.ts";
export { openSafetensors } from "./checkpoint/safetensors.ts";
export { encodeSafetensors } from "./checkpoint/write.ts";
export { filesFolder, type ByteSource, type Folder, type TensorSource } from "./checkpoint/source.ts";
export {
  cacheStore,
  remoteFolder,
  type ByteStore,
  type DownloadOptions,
  type RemoteOptions,
  type StoredBytes,
} from "./checkpoint/remote.ts";
export { UNet2DConditionModel } from "./models/unet/unet.ts";
export { Capture, Concat, selfOnly } from "./models/unet/fusion.ts";
export type { FusedBlock, Fusion, FusionPass, TokenGrid } from "./models/unet/fusion.ts";
export {
  AttentionMaps,
  type AttentionMapsOptions,
  type AttentionReading,
  type GarmentReading,
  type PicturePoint,
} from "./models/fusion/attention_maps.ts";
export { attentionSheets, type ReadPictures } from "./pipelines/attention_sheets.ts";
export { heatMap, type HeatGrid } from "./vision/heat_map.ts";
export { crossAttention } from "./models/fusion/cross_attention.ts";
export { masked } from "./models/fusion/masked.ts";
export { spatial } from "./models/fusion/spatial.ts";
export { concatenation, FUSION_NAMES, fusionNamed, noFusion } from "./models/fusion/strategies.ts";
export type { FusedGarment, FusionInputs, FusionStrategy } from "./models/fusion/strategy.ts";
export { weighted, type GarmentWeight } from "./models/fusion/weighted.ts";
export { Attention, type KeyValues } from "./nn/attention.ts";
export { Linear } from "./nn/linear.ts";
export { Module, Parameter } from "./nn/module.ts";
export { LayerNorm } from "./nn/norm.ts";
export { AutoencoderKL } from "./models/vae/vae.ts";
export { CLIPTextModel } from "./models/clip/text.ts";
export { CLIPVisionModelWithProjection } from "./models/clip/vision.ts";
export { createTokenizer } from "./models/clip/tokenizer.ts";
export { toRgba, type GrayImage, type RgbImage } from "./vision/image.ts";
export { encodePng, readImage, readLabels, readMask, type Picture } from "./vision/browser_images.ts";
export { agnosticMask, combineMasks, type AgnosticOptions, type Protection } from "./vision/agnostic.ts";
export { dilateDisc } from "./vision/morphology.ts";
export { parseKeyPoints } from "./vision/keypoints.ts";
export { colouriseLabels, LABEL, PALETTE } from "./vision/labels.ts";
export { onnxSession, type OnnxSession } from "./vision/onnx.ts";
export { openParsers, parsePerson, type Parsers } from "./vision/parsing.ts";
export { decodePose, type FoundPose, type KeyPoint, type Person, type Pose, type PoseOptions } from "./vision/pose.ts";
export { drawSkeleton } from "./vision/skeleton.ts";
export { OpenposeBody } from "./models/openpose/body.ts";
export { estimatePose, loadPoseNetwork, openPoseNetwork } from "./pipelines/pose.ts";
export type { Phase, TryOnInputs, TryOnResult } from "./pipelines/inputs.ts";
export { checkTryOn } from "./pipelines/settings.ts";
export { TryOnPipeline, type TryOnLoadOptions } from "./pipelines/try-on.ts";
export { Trace } from "./pipelines/trace.ts";
export { planTryOn, TYPICAL_GPU, type MemoryQuestion, type TryOnMemory } from "./pipelines/memory.ts";
export { SCHEDULER_NAMES, type SchedulerName } from "./schedulers/names.ts";
export { frechetDistance, kernelDistance, type Features, type KernelDistanceOptions } from "./evaluation/distances.ts";
export { evaluate, type Evaluation, type EvaluationInputs } from "./evaluation/evaluate.ts";
export { PROTOCOLS, type Order, type Protocol, type ProtocolName } from "./evaluation/protocols.ts";
export { inceptionFeatures, loadInception, loadLpips, lpipsDistance, type LpipsFiles } from "./evaluation/networks.ts";
export { psnr, ssim, SSIM, type SsimDefinition } from "./evaluation/similarity.ts";
export { InceptionV3 } from "./models/inception/inception.ts";
export { Lpips } from "./models/lpips/lpips.ts";
export { LPIPS_NETS, type LpipsNet } from "./models/lpips/trunk.ts";
export { AdamW, type AdamWOptions } from "./training/adamw.ts";
export { epochOrder, prefetch, type TryOnDataset, type TryOnSample } from "./training/data/dataset.ts";
export { drawnDataset, sleeveOf, type DrawnOptions } from "./training/data/drawn.ts";
export { augmented, type AugmentOptions } from "./training/data/augment.ts";
export { openSingleFile, type SingleFile, type SingleFileOptions } from "./checkpoint/single_file.ts";
export type { GenerationInputs, GenerationResult } from "./pipelines/generation.ts";
export type { FuseOptions, LoraOptions } from "./pipelines/lora.ts";
export type { StableDiffusionComponents } from "./pipelines/sd_components.ts";
export {
  StableDiffusion,
  type GenerationPipeline,
  type StableDiffusionFiles,
  type StableDiffusionOptions,
} from "./pipelines/stable-diffusion.ts";
export { StableDiffusionPipeline, textToImage, type TextToImageInputs } from "./pipelines/text-to-image.ts";
export { StableDiffusionImg2ImgPipeline, imageToImage, type ImageToImageInputs } from "./pipelines/image-to-image.ts";
export { StableDiffusionInpaintPipeline, inpaint, type InpaintInputs } from "./pipelines/inpaint.ts";
export { Masters, type TrainedNetwork } from "./training/masters.ts";
export { Trainer, type StepReport, type TrainerOptions } from "./training/trainer.ts";
export { tryOnLoss, type TryOnBatch, type TryOnLossOptions } from "./training/tryon_loss.ts";
