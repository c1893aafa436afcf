"""Loads a checkpoint's UNets with diffusers and compares their outputs with those beside it.

Usage: python unet.py CHECKPOINT CASES.safetensors, which holds NAME.sample, NAME.timestep, NAME.hidden and NAME.output
for each UNet's folder NAME. Prints one JSON object: for each the keys that diffusers missed or did not expect, and the
largest difference beside the largest output.
"""

import json
import sys

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file

checkpoint, cases = sys.argv[1], load_file(sys.argv[2])
found = {}
for name in ("unet_garm", "unet_vton"):
    model, info = UNet2DConditionModel.from_pretrained(checkpoint, subfolder=name, output_loading_info=True)
    with torch.no_grad():
        case = lambda part: cases[f"{name}.{part}"]
        output = model.eval()(case("sample"), case("timestep"), case("hidden")).sample
    found[name] = {
        "missing": info["missing_keys"],
        "unexpected": info["unexpected_keys"],
        "mismatched": info["mismatched_keys"],
        "inputs": model.config.in_channels,
        "difference": (output - case("output")).abs().max().item(),
        "largest": output.abs().max().item(),
    }
print(json.dumps(found))
