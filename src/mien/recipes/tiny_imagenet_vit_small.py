"""Our ViT for Tiny ImageNet: six narrow blocks behind a conv stem, against the over-fitting of tiny_imagenet_vit.

Source    ours. A conv stem (arXiv 2106.14881), torch's initialisation and mean pooling, which learn from few
          images (LOG.md); stochastic depth, label smoothing, flips, shifts and zooms like a small random
          crop, moving average of the weights. About a thirtieth of tiny_imagenet_vit's parameters.
Command   mien run tiny_imagenet_vit_small --data.path tiny-imagenet-200
Result    never run to its end yet: no figure.
"""

from mien.config import Augment, Data, Model, Recipe, Train

recipe = Recipe(
    name="tiny_imagenet_vit_small",
    data=Data(source="tiny_imagenet", size=64, channels=3, mean=0.5, std=0.25),
    model=Model(
        name="vit",
        stem="conv",
        patch_norm=False,
        init="torch",
        patch_size=8,
        embed_dim=192,
        depth=6,
        num_heads=3,
        mlp_ratio=2,
        global_pool="avg",
        drop_path_rate=0.05,
    ),
    augment=Augment(hflip=0.5, translate=0.08, scale=(0.9, 1.2)),
    train=Train(
        epochs=12,
        batch_size=128,
        optimizer="adamw",
        lr=1e-3,
        weight_decay=0.05,
        schedule="cosine",
        warmup_epochs=1,
        label_smoothing=0.1,
        ema=0.999,
    ),
)
