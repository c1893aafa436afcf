"""The whole try-on of bench/tryon.js in PyTorch with the checkpoint that ships: VAE, garment UNet, denoising, decoding.

python bench/reference/tryon.py [--device cuda] [--width 384 --height 512 --steps 4]. Pictures and the prompt's embedding are
random: they cost the same. The CLIP encoders are left out.
"""
import pathlib

import torch
from diffusers import AutoencoderKL, UniPCMultistepScheduler, UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock

from common import arguments, once, summary, write
from fusion import patch

parser = arguments(__doc__)
for name, default in (("width", 384), ("height", 512), ("steps", 4)):
    parser.add_argument(f"--{name}", type=int, default=default)
options = parser.parse_args()
place = {"device": options.device, "dtype": getattr(torch, options.dtype)}
weights = pathlib.Path(__file__).parents[2] / "weights" / "ootd"


def load(kind, folder):
    return kind.from_pretrained(weights / folder, low_cpu_mem_usage=False).to(*place.values()).eval()


def blocks(unet):
    return [module for module in unet.modules() if isinstance(module, BasicTransformerBlock)]


class TryOn:
    def __init__(self):
        self.vae = load(AutoencoderKL, "vae")
        self.garment_unet = load(UNet2DConditionModel, "ootd_hd/checkpoint-36000/unet_garm")
        self.unet = load(UNet2DConditionModel, "ootd_hd/checkpoint-36000/unet_vton")
        self.scheduler = UniPCMultistepScheduler.from_pretrained(weights / "scheduler")
        self.pictures = torch.rand(3, 3, options.height, options.width, **place) * 2 - 1
        self.prompt = torch.randn(1, 2, self.unet.config.cross_attention_dim, **place).repeat(2, 1, 1)

    def encode(self):
        self.latents = [self.vae.encode(picture[None]).latent_dist.mode() for picture in self.pictures]

    def garment(self):
        taken = {}
        inner = blocks(self.garment_unet)
        hooks = [
            block.register_forward_pre_hook(lambda _, inputs, i=i: taken.update({i: inputs[0]}))
            for i, block in enumerate(inner)
        ]
        garment = self.latents[0]
        self.garment_unet(torch.cat([garment, torch.zeros_like(garment)]), 0, self.prompt)
        for hook in hooks:
            hook.remove()
        patch(list(zip(blocks(self.unet), (taken[i] for i in range(len(inner))))), sdpa=True, both_ask=True)

    def denoise(self):
        self.scheduler.set_timesteps(options.steps, device=options.device)
        x = torch.randn_like(self.latents[1])
        masked = self.latents[2].repeat(2, 1, 1, 1)
        for t in self.scheduler.timesteps:
            noise = self.unet(torch.cat([x.repeat(2, 1, 1, 1), masked], 1), t, self.prompt).sample
            with_garment, without = noise.chunk(2)
            x = self.scheduler.step(without + 2 * (with_garment - without), t, x).prev_sample
        self.result = x

    def decode(self):
        self.vae.decode(self.result / self.vae.config.scaling_factor)


phases = ("encode", "garment", "denoise", "decode")
times = {phase: [] for phase in phases}
with torch.no_grad():
    try_on = TryOn()
    for count in range(options.rounds + 1):
        for phase in phases:
            spent = once(getattr(try_on, phase), options.device)
            if count > 0:
                times[phase].append(spent)
sizes = {name: getattr(options, name) for name in ("width", "height", "steps")}
write("tryon", options, {phase: summary(values) for phase, values in times.items()}, **sizes)
