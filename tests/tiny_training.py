"""A run of a small ViT on drawn faces, for the tests of training."""

from safetensors.torch import load_file

from mien import config
from mien.config import Augment, Data, Model, Recipe, Train

RECIPE = Recipe(
    name="tiny",
    data=Data(source="drawn_faces", images=70, size=16),
    model=Model(name="vit", patch_size=4, embed_dim=16, depth=2, num_heads=2, drop_rate=0.1, drop_path_rate=0.1),
    augment=Augment(hflip=0.5, rotate=10, erase=0.5, mixup=0.4, randaugment=1),
    train=Train(epochs=3, batch_size=14, ema=0.9, warmup_epochs=1, gradient_clip=1.0, precision="fp32"),
)


def change(recipe=RECIPE, **sections):
    return config.build(recipe.model_dump(), sections)


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")
