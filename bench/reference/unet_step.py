"""The step of bench/unet_step.js in PyTorch: python bench/reference/unet_step.py [--size real] [--device cuda]."""
import torch

from common import arguments, round_robin, write
from fusion import patch, try_on_unet

parser = arguments(__doc__)
parser.add_argument("--size", default="mid", choices=["mid", "real"])
parser.add_argument("--latents", default=None, help="height x width; 32x24 for mid, 64x48 for real")
options = parser.parse_args()
h, w = map(int, (options.latents or {"mid": "32x24", "real": "64x48"}[options.size]).split("x"))
place = {"device": options.device, "dtype": getattr(torch, options.dtype)}

unet, garments = try_on_unet(options.size, h, w, *place.values())
sample = torch.randn(2, 8, h, w, **place)
text = torch.randn(2, 2, 768, **place)


def step(sdpa, both_ask):
    def run():
        patch(garments, sdpa, both_ask)
        return unet(sample, 999, text).sample

    return run


candidates = {
    "published arithmetic, eager": step(False, True),
    "published arithmetic, SDPA": step(True, True),
    "own queries only, SDPA": step(True, False),
}
write(f"unet_step-{options.size}", options, round_robin(candidates, options.device, options.rounds), latents=[h, w])
