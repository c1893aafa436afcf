// A scheduler drives any denoiser: here one that knows the answer, so that the last sample must be it.
// Usage: node examples/scheduler.js
import { Tensor, TorchGenerator, createScheduler, ops } from "toile";
import { requestDevice } from "toile/node";

const device = await requestDevice();
const shape = [1, 8, 8, 4];
const random = new TorchGenerator(7);
const answer = Tensor.from(device, random.rand(shape), shape);
const scheduler = createScheduler({
  _class_name: "DDIMScheduler",
  beta_schedule: "scaled_linear",
  beta_start: 0.00085,
  beta_end: 0.012,
  clip_sample: false,
  prediction_type: "sample", // the denoiser predicts the picture, not the noise
});
scheduler.setTimesteps(10);
let sample = ops.mul(Tensor.from(device, random.randn(shape), shape), scheduler.initNoiseSigma);
for (let i = 0; i < scheduler.timesteps.length; i++) {
  const next = device.scope(() => scheduler.step(answer, i, scheduler.scaleModelInput(sample, i)));
  sample.dispose();
  sample = next;
}
const [found, wanted] = [await sample.data(), await answer.data()];
const worst = Math.max(...found.map((value, i) => Math.abs(value - wanted[i])));
console.log(`10 DDIM steps end ${worst.toFixed(4)} from the answer`);
device.destroy();
