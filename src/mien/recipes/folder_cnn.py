"""A residual CNN for any folder of labelled images: --data.path FOLDER, one sub-folder per class.

Source    ours: the network of fer2013_cnn_best, its first stage wider, on 64-pixel colour images.
Command   mien run folder_cnn --data.path FOLDER
Result    depends on the folder. Dogs vs Cats' 1,600 pictures in two folders: 81.7 % (76.3 to 86.1) of the 240 held out;
          one seed, 4 minutes on one thread of an AMD EPYC, bf16, beside another training. Copies of validation images
          are left out of training.
"""

from mien.config import Augment, Data, Model, Recipe, Train

recipe = Recipe(
    name="folder_cnn",
    data=Data(source="folder", size=64, channels=3, drop_leaks=True, std=0.25),
    model=Model(name="resnet", widths=(32, 64, 128, 256), drop_rate=0.2),
    augment=Augment(hflip=0.5, rotate=10, translate=0.08, scale=(0.85, 1.15), brightness=0.15, contrast=0.2, erase=0.2),
    train=Train(
        epochs=30,
        batch_size=64,
        optimizer="sgd",
        lr=0.05,
        weight_decay=5e-4,
        schedule="one_cycle",
        label_smoothing=0.1,
        ema=0.99,
    ),
)
