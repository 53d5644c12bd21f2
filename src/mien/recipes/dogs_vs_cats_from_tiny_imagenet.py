r"""Dogs vs Cats from the backbone that comes with mien: source report 3's comparison, on two cores.

Source    ours; the report compares a frozen ViT-B/16 with a head of its own (96.5 %) and the whole network fine-tuned
          (98.65 %). Here the backbone is tiny_imagenet_vit_small's, at its 48 pixels, in five folds.
Command   mien run dogs_vs_cats_from_tiny_imagenet --data.path DOGS_VS_CATS --data.folds 5 --data.fold 0 \
              --model.init mien:vit-tiny-imagenet
          the head alone: --train.trainable head
          the same network from nothing: leave --model.init out
          all folds together: benchmarks/folds.py
Result    five folds, 1,600 images: 84.4 % (82.6 to 86.1); the head alone 79.2 % (77.2 to 81.2); from nothing 72.1 %
          (69.9 to 74.3). 90 seconds a fold on one thread of an AMD EPYC without bf16, 35 for the head alone.
"""

from mien.config import Augment, Data, Recipe, Train
from mien.recipes.tiny_imagenet_vit_small import recipe as pretraining

recipe = Recipe(
    name="dogs_vs_cats_from_tiny_imagenet",
    data=Data(source="dogs_vs_cats", size=48, channels=3, mean=0.5, std=0.25),
    model=pretraining.model,
    augment=Augment(hflip=0.5, scale=(0.9, 1.1), crop=40, contrast=0.2),
    train=Train(
        epochs=10,
        batch_size=32,
        optimizer="adamw",
        lr=5e-4,
        weight_decay=0.05,
        schedule="cosine",
        warmup_epochs=1,
        label_smoothing=0.05,
        ema=0.99,
    ),
)
