"""FER2013 from a backbone that tiny_imagenet_vit_small has pretrained on Tiny ImageNet.

Source    ours; source report 5 pretrains on Tiny ImageNet and fine-tunes another network on faces, this joins the two.
          Both have 48 pixels; layer-wise decay of the rate keeps the lower blocks close to what they learned.
Command   mien run fer2013_from_tiny_imagenet --data.path FER2013 --model.init RUN_OF_TINY_IMAGENET_VIT_SMALL
          the same network from nothing: leave --model.init out
          pretrained in grey: --data.channels 1 in both runs
Result    never run to its end yet: no figure.
"""

from mien.config import Augment, Data, Recipe, Train
from mien.recipes.tiny_imagenet_vit_small import recipe as pretraining

recipe = Recipe(
    name="fer2013_from_tiny_imagenet",
    data=Data(source="fer2013", channels=3, drop_leaks=True, mean=0.5, std=0.25),
    model=pretraining.model,
    augment=Augment(hflip=0.5, rotate=10, translate=0.06, scale=(0.9, 1.1), contrast=0.2),
    train=Train(
        epochs=15,
        batch_size=64,
        optimizer="adamw",
        lr=5e-4,
        weight_decay=0.05,
        schedule="cosine",
        warmup_epochs=1,
        label_smoothing=0.05,
        layer_decay=0.8,
        ema=0.999,
    ),
)
