export { requestDevice, type NodeDeviceOptions } from "./device.ts";
export { directory, fileSource, writeFileAtomic } from "./files.ts";
export { encodePng, readImage, readMask, writePng } from "./images.ts";
export { readLabels } from "./labels.ts";
export { openOnnx } from "./onnx.ts";
export { shipped } from "./package.ts";
