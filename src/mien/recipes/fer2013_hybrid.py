"""x"""
from mien.config import Augment, Data, Distill, Model, Recipe, Train

recipe = Recipe(
    name="fer2013_hybrid",
    data=Data(source="fer2013", drop_leaks=True, mean=0.5, std=0.25),
    model=Model(
        name="vit",
        stem="resnet",
        stem_widths=(32, 96, 192, 384),
        patch_size=8,
        embed_dim=192,
        depth=4,
        num_heads=6,
        mlp_ratio=2,
        pos_embed="relative",
        global_pool="flatten",
        init="torch",
        drop_path_rate=0.1,
    ),
    augment=Augment(
        hflip=0.5, rotate=15, translate=0.08, scale=(0.8, 1.2), contrast=0.3, brightness=0.1, erase=0.3
    ),
    distill=Distill(weight=0.5, temperature=2.0),
    train=Train(
        epochs=16,
        batch_size=128,
        optimizer="muon",
        lr=0.01,
        weight_decay=0.05,
        schedule="cosine",
        warmup_epochs=1,
        label_smoothing=0.05,
        gradient_clip=1.0,
        ema=0.998,
    ),
)
