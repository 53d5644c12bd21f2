"""A linear head on the frozen ViT-B/16 of dogs_vs_cats_vit_full: source report 3's other experiment.

Source    project report of a course: only Linear(768, 2) is trained; otherwise as dogs_vs_cats_vit_full.
Reported  96.5 % on 2,000 test images.
Command   mien run dogs_vs_cats_vit_head_only --data.path DOGS_VS_CATS
Result    never run: the weights are on the hub, and no machine with them at hand has run it yet. No figure.
          With Kaggle's 25,000 images about two hours on two cores in fp32, nearly all of it for storing the features,
          from what 310 images took (results/head_only.json); an estimate.
"""

from mien.recipes.dogs_vs_cats_vit_full import recipe as base

recipe = base.with_(name="dogs_vs_cats_vit_head_only", train={"trainable": "head"})
