"""The operators of bench/operators.js in PyTorch: python bench/reference/operators.py [--device cuda] [--dtype float16]."""
import torch
import torch.nn.functional as F

from common import arguments, round_robin, write

options = arguments(__doc__).parse_args()
place = {"device": options.device, "dtype": getattr(torch, options.dtype)}


def random(*shape):
    return torch.randn(*shape, **place)


def matmul(n):
    a, b = random(n, n), random(n, n)
    return lambda: a @ b


def linear(rows, inputs, outputs):
    x, w, b = random(rows, inputs), random(outputs, inputs), random(outputs)
    return lambda: F.linear(x, w, b)


def conv(c, h, w):
    x, weight, bias = random(1, c, h, w), random(c, c, 3, 3), random(c)
    x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    return lambda: F.conv2d(x, weight, bias, padding=1)


def attention(queries, keys, d, eager):
    q, k, v = random(1, 8, queries, d), random(1, 8, keys, d), random(1, 8, keys, d)
    if not eager:
        return lambda: F.scaled_dot_product_attention(q, k, v)
    return lambda: ((q @ k.transpose(-1, -2)) * d**-0.5).softmax(-1) @ v


def group_norm(n, c, h, w):
    x, weight, bias = random(n, c, h, w), random(c), random(c)
    return lambda: F.silu(F.group_norm(x, 32, weight, bias))


def layer_norm(rows, c):
    x, weight, bias = random(rows, c), random(c), random(c)
    return lambda: F.layer_norm(x, (c,), weight, bias)


def softmax(rows, length):
    x = random(rows, length)
    return lambda: x.softmax(-1)


candidates = {f"matmul {n}³": matmul(n) for n in ((512, 1024, 4096) if options.device == "cuda" else (512, 1024))}
for rows, inputs, outputs in ((3072, 320, 320), (768, 640, 640), (192, 1280, 1280), (48, 1280, 1280), (3072, 320, 1280)):
    candidates[f"linear {rows} rows, {inputs} → {outputs}"] = linear(rows, inputs, outputs)
for c, h, w in ((320, 32, 24), (320, 64, 48), (640, 32, 24), (1280, 16, 12), (1280, 8, 6)):
    candidates[f"conv 3x3 {c}, {h}x{w}"] = conv(c, h, w)
for queries, keys, d in ((768, 1536, 40), (768, 1536, 80), (768, 1536, 160), (3072, 6144, 40)):
    for kind in ("SDPA", "eager"):
        candidates[f"attention {queries} x {keys}, d {d}, {kind}"] = attention(queries, keys, d, kind == "eager")
for n, c, h, w in ((2, 320, 64, 48), (2, 1280, 16, 12)):
    candidates[f"GroupNorm + SiLU {n}x{c}x{h}x{w}"] = group_norm(n, c, h, w)
candidates["LayerNorm 6144x320"] = layer_norm(6144, 320)
candidates["softmax 6144x1536"] = softmax(6144, 1536)

write("operators", options, round_robin(candidates, options.device, options.rounds))
