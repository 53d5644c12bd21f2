"""A ViT-B/16 pretrained on ImageNet of which the head and all attention layers are trained.

Source    source reports 1 and 2 announce unfreezing the attention heads, without numbers; the idea is studied in
          arXiv 2203.09795 (Touvron et al.), which finds it as good as training everything.
Reported  nothing.
Command   mien run fer2013_vit_b16_attention_only --data.path FER2013
Result    never run with its own weights, which are on the hub. From mien:vit-tiny-imagenet at 48 pixels, a third of the
          train images, 8 epochs: 48.8 % (47.2 to 50.5); its flags are in docs/how-to/transfer.md.
          At 224 pixels between 20 and 52 hours on two cores in fp32, from a measured pass through
          the backbone and a step of all of it (results/head_only.json, finetune_step.json there); an estimate, not run.
"""

from mien.recipes.fer2013_vit_b16_finetune import recipe as base

recipe = base.with_(name="fer2013_vit_b16_attention_only", train={"trainable": "attention"})
