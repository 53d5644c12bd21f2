"""A ViT-B/16 pretrained on ImageNet of which the head and all attention layers are trained.

Source    source reports 1 and 2 announce unfreezing the attention heads, without numbers; the idea is studied in
          arXiv 2203.09795 (Touvron et al.), which finds it as good as training everything.
Reported  nothing.
Command   mien run fer2013_vit_b16_attention_only --data.path FER2013
Result    never run: the weights are on the hub, and no machine with them at hand has run it yet. No figure.
"""

from mien import config
from mien.recipes.fer2013_vit_b16_finetune import recipe as base

recipe = config.build(
    base.model_dump(),
    {
        "name": "fer2013_vit_b16_attention_only",
        "train": {"trainable": "attention"},
    },
)
