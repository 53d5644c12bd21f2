"""V1.5 of source report 4: fer2013_vit_mlp_head with a deeper head, 512-256-128-64.

Source    slides of a course project; 10 epochs.
Reported  accuracy .61 on public and private test together.
Command   mien run fer2013_vit_deep_head --data.path FER2013
Result    never run: the weights are on the hub, and no machine with them at hand has run it yet. No figure.
"""

from mien import config
from mien.recipes.fer2013_vit_mlp_head import recipe as base

recipe = config.build(
    base.model_dump(),
    {
        "name": "fer2013_vit_deep_head",
        "model": {"head_hidden": (512, 256, 128, 64)},
    },
)
