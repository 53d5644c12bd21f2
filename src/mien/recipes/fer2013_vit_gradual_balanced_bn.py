"""V1.6.7 of source report 4, its final system: fer2013_vit_gradual_balanced with batch norm in the head.

Source    slides of a course project: Linear, batch norm, ReLU, dropout in each layer of the head.
Reported  accuracy .663 on public and private test together.
Command   mien run fer2013_vit_gradual_balanced_bn --data.path FER2013
Result    never run with its own weights, which are on the hub. From mien:vit-tiny-imagenet at 48 pixels, a third of the
          train images, 8 epochs: 41.9 % (40.2 to 43.5); its flags are in docs/how-to/transfer.md.
          At 224 pixels between 60 and 157 hours for 24 epochs on two cores in fp32, from a measured pass through
          the backbone and a step of all of it (results/head_only.json, finetune_step.json there); an estimate, not run.
"""

from mien.recipes.fer2013_vit_gradual_balanced import recipe as base

recipe = base.with_(name="fer2013_vit_gradual_balanced_bn", model={"head_batch_norm": True})
