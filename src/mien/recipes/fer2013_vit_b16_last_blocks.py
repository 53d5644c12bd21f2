"""A ViT-B/16 pretrained on ImageNet of which the head and the last two blocks are trained.

Source    source reports 1 and 2 announce unfreezing the last layers beside the head, without numbers.
Reported  nothing.
Command   mien run fer2013_vit_b16_last_blocks --data.path FER2013
Result    never run with its own weights, which are on the hub. From mien:vit-tiny-imagenet at 48 pixels, a third of the
          train images, 8 epochs: 47.3 % (45.7 to 48.9); its flags are in docs/how-to/transfer.md.
          At 224 pixels between 20 and 52 hours on two cores in fp32, from a measured pass through
          the backbone and a step of all of it (results/head_only.json, finetune_step.json there); an estimate, not run.
"""

from mien.recipes.fer2013_vit_b16_finetune import recipe as base

recipe = base.with_(name="fer2013_vit_b16_last_blocks", train={"trainable": "last_blocks", "last_blocks": 2})
