"""Our plain ViT for FER2013, from nothing: 8-pixel patches, six blocks of 128, no outside data.

Source    ours; the answer to source report 4's "ViT doesn't fit small datasets". The head reads all patch tokens
          side by side instead of their mean or a class token, so it knows from the first step where in the face each
          token lies; that alone ends the plateau of the class frequencies
          (log/2026-11-20-head-on-all-tokens-ends-the-plateau.md). Pre-norm blocks, patches normalised before and
          after embedding (arXiv 2302.01327), warm-up, AdamW, geometric augmentation, moving average of the weights.
Command   mien run fer2013_vit_scratch --data.path FER2013
Result    validation 55.7 % (54.1 to 57.3), clean images 54.9 %, macro-F1 .488; one seed, 99 minutes on one thread
          of an AMD EPYC without bf16, beside other work. Training accuracy is no higher: it wants more width or time.
"""

from mien.config import Augment, Data, Model, Recipe, Train

recipe = Recipe(
    name="fer2013_vit_scratch",
    data=Data(source="fer2013", drop_leaks=True, mean=0.5, std=0.25),
    model=Model(
        name="vit",
        patch_size=8,
        embed_dim=128,
        depth=6,
        num_heads=4,
        global_pool="flatten",
        pos_embed="sincos2d",
        patch_norm=True,
        init="torch",
    ),
    augment=Augment(hflip=0.5, rotate=10, translate=0.06, scale=(0.9, 1.1), contrast=0.2),
    train=Train(
        epochs=34,
        batch_size=64,
        optimizer="adamw",
        lr=1e-3,
        weight_decay=0.05,
        schedule="cosine",
        warmup_epochs=1,
        label_smoothing=0.05,
        gradient_clip=1.0,
        ema=0.999,
    ),
)
