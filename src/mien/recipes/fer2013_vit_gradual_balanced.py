"""V1.6.6 of source report 4: fer2013_vit_gradual with the class-balanced sampler.

Source    slides of a course project.
Reported  accuracy .634 on public and private test together, "disgust" far better.
Command   mien run fer2013_vit_gradual_balanced --data.path FER2013
Result    never run with its own weights, which are on the hub. From mien:vit-tiny-imagenet at 48 pixels, a third of the
          train images, 8 epochs: 39.2 % (37.6 to 40.8); its flags are in docs/how-to/transfer.md.
          At 224 pixels between 60 and 157 hours for 24 epochs on two cores in fp32, from a measured pass through
          the backbone and a step of all of it (results/head_only.json, finetune_step.json there); an estimate, not run.
"""

from mien.recipes.fer2013_vit_gradual import recipe as base

recipe = base.with_(name="fer2013_vit_gradual_balanced", train={"sampler": "balanced"})
