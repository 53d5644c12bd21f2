"""V1.5 of source report 4: fer2013_vit_mlp_head with a deeper head, 512-256-128-64.

Source    slides of a course project; 10 epochs.
Reported  accuracy .61 on public and private test together.
Command   mien run fer2013_vit_deep_head --data.path FER2013
Result    never run with its own weights, which are on the hub. From mien:vit-tiny-imagenet at 48 pixels, a third of the
          train images, 8 epochs: 50.3 % (48.7 to 52.0); its flags are in docs/how-to/transfer.md.
          At 224 pixels about 65 hours on two cores in fp32, from the measured step
          (results/finetune_step.json); an estimate, not run.
"""

from mien.recipes.fer2013_vit_mlp_head import recipe as base

recipe = base.with_(name="fer2013_vit_deep_head", model={"head_hidden": (512, 256, 128, 64)})
