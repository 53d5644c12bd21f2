r"""FER2013 from a backbone that tiny_imagenet_vit_small has pretrained on Tiny ImageNet.

Source    ours; source report 5 pretrains on Tiny ImageNet and fine-tunes another network on faces, this joins the two.
          Both have 48 pixels. A head that reads all tokens takes the place of the mean: in a face place matters.
Command   mien run fer2013_from_tiny_imagenet --data.path FER2013 --model.init mien:vit-tiny-imagenet \
              --model.global_pool flatten
          the same network from nothing: leave both --model flags out
          pretrained in grey: --data.channels 1 in both runs
Result    validation 59.7 % (58.1 to 61.3), clean images 58.7 %, macro-F1 .556; from nothing 56.8 % (55.2 to
          58.4), 56.1 %, .500; one seed, 26 minutes each on one thread of an AMD EPYC without bf16, beside other work.
"""

from mien.config import Augment, Data, Recipe, Train
from mien.recipes.tiny_imagenet_vit_small import recipe as pretraining

recipe = Recipe(
    name="fer2013_from_tiny_imagenet",
    data=Data(source="fer2013", channels=3, drop_leaks=True, mean=0.5, std=0.25),
    model=pretraining.with_(model={"global_pool": "flatten"}).model,
    augment=Augment(hflip=0.5, rotate=10, translate=0.06, scale=(0.9, 1.1), contrast=0.2),
    train=Train(
        epochs=6,
        batch_size=64,
        optimizer="adamw",
        lr=1e-3,
        weight_decay=0.05,
        schedule="cosine",
        warmup_epochs=1,
        label_smoothing=0.05,
        ema=0.998,
    ),
)
