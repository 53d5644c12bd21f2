"""V1.6.6 of source report 4: fer2013_vit_gradual with the class-balanced sampler.

Source    slides of a course project.
Reported  accuracy .634 on public and private test together, "disgust" far better.
Command   mien run fer2013_vit_gradual_balanced --data.path FER2013
Result    never run: the weights are on the hub, and no machine with them at hand has run it yet. No figure.
"""

from mien import config
from mien.recipes.fer2013_vit_gradual import recipe as base

recipe = config.build(
    base.model_dump(),
    {
        "name": "fer2013_vit_gradual_balanced",
        "train": {"sampler": "balanced"},
    },
)
