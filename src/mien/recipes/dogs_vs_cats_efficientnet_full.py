"""An EfficientNet-Lite0 of ImageNet, everything fine-tuned on Dogs vs Cats, from the same weights as the head alone.

Source    ours, beside dogs_vs_cats_efficientnet_head_only; a low rate, and lower still towards the image, as usual
          for fine-tuning on few pictures.
Reported  98.65 % on 2,000 test images with a ViT-B/16 and 20,000 training images.
Command   mien run dogs_vs_cats_efficientnet_full --data.path DOGS_VS_CATS
          from a head that is trained: --model.init RUN
Result    never run. No figure. By the head's run, a pass over 1,600 pictures forward and backward takes about three
          times as long as storing their features; three of them some 10 minutes a fold on one core, an estimate.
"""

from mien.recipes.dogs_vs_cats_efficientnet_head_only import recipe as base

recipe = base.with_(
    name="dogs_vs_cats_efficientnet_full",
    augment={"hflip": 0.5},
    train={
        "epochs": 3,
        "batch_size": 32,
        "lr": 2e-4,
        "schedule": "cosine",
        "warmup_epochs": 1,
        "trainable": "all",
        "layer_decay": 0.85,
    },
)
