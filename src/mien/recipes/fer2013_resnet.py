"""Our CNN for FER2013: a residual network of 2.7 M parameters, learning from the labels alone.

Source    ours. He et al. (arXiv 1512.03385) with a 3x3 stem; trained on random 40-pixel crops of the
          48-pixel faces, which costs 0.7 times as much, and evaluated on whole faces (FixRes, arXiv
          1906.06423); one-cycle SGD, label smoothing, erasing, moving average of the weights.
Command   mien run fer2013_resnet --data.path FER2013
Result    validation 65.2 % (63.6 to 66.7), clean images 64.3 %, macro-F1 .585; one seed, 37 minutes on
          two cores of an AMD EPYC, bf16, shared with other work; warps were still inside bf16 (LOG.md).
"""

from mien.config import Augment, Data, Model, Recipe, Train

recipe = Recipe(
    name="fer2013_resnet",
    data=Data(source="fer2013", drop_leaks=True, mean=0.5, std=0.25),
    model=Model(name="resnet", widths=(32, 96, 192, 384), layers=(1, 1, 1, 1), drop_rate=0.2),
    augment=Augment(hflip=0.5, rotate=10, translate=0.04, scale=(0.9, 1.1), crop=40, erase=0.2, contrast=0.2),
    train=Train(
        epochs=28,
        batch_size=128,
        optimizer="sgd",
        lr=0.15,
        weight_decay=5e-4,
        schedule="one_cycle",
        warmup_epochs=4,
        label_smoothing=0.05,
        ema=0.996,
    ),
)
