"""Our plain ViT for FER2013, from nothing: 8-pixel patches, six blocks of 192, no outside data.

Source    ours; the answer to source report 4's "ViT doesn't fit small datasets". Pre-norm blocks, the
          official initialisation, warm-up, AdamW, geometric augmentation.
Command   mien run fer2013_vit_scratch --data.path FER2013
"""

from mien.config import Augment, Data, Model, Recipe, Train

recipe = Recipe(
    name="fer2013_vit_scratch",
    data=Data(source="fer2013", drop_leaks=True, mean=0.5, std=0.25),
    model=Model(name="vit", patch_size=8, embed_dim=192, depth=6, num_heads=6, global_pool="avg", drop_path_rate=0.05),
    augment=Augment(hflip=0.5, rotate=12, translate=0.08, scale=(0.9, 1.15), erase=0.1, contrast=0.2),
    train=Train(
        epochs=30,
        batch_size=96,
        optimizer="adamw",
        lr=1e-3,
        weight_decay=0.05,
        schedule="cosine",
        warmup_epochs=2,
        label_smoothing=0.05,
        gradient_clip=1.0,
        ema=0.998,
    ),
)
