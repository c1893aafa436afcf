"""The outfitting fusion on a plain diffusers UNet, as a processor of its self-attentions (Xu et al. 2024, section 3.2)."""
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock

CONFIGS = {
    "mid": {"block_out_channels": (128, 256, 512, 512)},
    "real": {"block_out_channels": (320, 640, 1280, 1280)},
}


class Processor:
    """Multi-head attention, fused (`sdpa`) or written out. With a garment the tokens read it, too."""

    def __init__(self, sdpa, norm=None, garment=None, both_ask=True):
        self.sdpa, self.norm, self.garment, self.both_ask = sdpa, norm, garment, both_ask

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **_):
        x, own = hidden_states, hidden_states.shape[1]
        context = x if encoder_hidden_states is None else encoder_hidden_states
        if self.garment is not None:
            context = torch.cat([x, self.norm(self.garment)], 1)
            x = context if self.both_ask else x
        q, k, v = (
            part.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for part in (attn.to_q(x), attn.to_k(context), attn.to_v(context))
        )
        if self.sdpa:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = ((q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5).softmax(-1) @ v
        return attn.to_out[0](y.transpose(1, 2).flatten(-2))[:, :own]


def try_on_unet(size, h, w, device, dtype):
    """A UNet of eight input channels and, for each transformer block, garment tokens of the size that it sees."""
    unet = UNet2DConditionModel(in_channels=8, cross_attention_dim=768, attention_head_dim=8, **CONFIGS[size])
    unet = unet.to(device, dtype).eval()
    levels = (1, 1, 2, 2, 4, 4, 4, 4, 4, 2, 2, 2, 1, 1, 1, 8)  # as named_modules has them: the mid block comes last
    blocks = [module for module in unet.modules() if isinstance(module, BasicTransformerBlock)]
    tokens = [
        torch.randn(2, h * w // level**2, block.norm1.normalized_shape[0], device=device, dtype=dtype)
        for block, level in zip(blocks, levels)
    ]
    return unet, list(zip(blocks, tokens))


def patch(garments, sdpa, both_ask):
    """Makes every block read its garment tokens. `both_ask`: as published, the garment's tokens are queries, too."""
    for block, garment in garments:
        block.attn1.processor = Processor(sdpa, block.norm1, garment, both_ask)
        block.attn2.processor = Processor(sdpa)
