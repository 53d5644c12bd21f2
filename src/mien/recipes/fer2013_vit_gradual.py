"""V1.6 of source report 4: fer2013_vit_deep_head, the backbone unfrozen block by block from the top.

Source    slides of a course project: all frozen before epoch 2, then block 11, and one more every second epoch down
          to block 3; 24 epochs with early stopping.
Reported  accuracy .625 on public and private test together.
Command   mien run fer2013_vit_gradual --data.path FER2013
Result    never run with its own weights, which are on the hub. From mien:vit-tiny-imagenet at 48 pixels, a third of the
          train images, 8 epochs: 45.0 % (43.3 to 46.6); its flags are in docs/how-to/transfer.md.
          At 224 pixels between 60 and 157 hours for 24 epochs on two cores in fp32, from a measured pass through
          the backbone and a step of all of it (results/head_only.json, finetune_step.json there); an estimate, not run.
"""

from mien.recipes.fer2013_vit_deep_head import recipe as base

recipe = base.with_(
    name="fer2013_vit_gradual",
    train={
        "epochs": 24,
        "early_stopping": 6,
        "unfreeze": {2: 11, 4: 10, 6: 9, 8: 8, 10: 7, 12: 6, 14: 5, 16: 4, 18: 3},
    },
)
