"""Our ViT for Tiny ImageNet: four narrow blocks behind a conv stem, small enough for two cores; ships as a backbone.

Source    ours. Pictures of 48 pixels, random 40-pixel crops of them in training, whole ones in validation (FixRes,
          arXiv 1906.06423). Six convolutions make the tokens (arXiv 2106.14881); what they pad tells positions enough,
          so there are no position embeddings (CvT, arXiv 2103.15808) and pictures may have any size. Torch's
          initialisation and mean pooling, which learn from few images
          (log/2026-11-20-plain-vit-plateau-is-not-the-initialisation.md). A fortieth of tiny_imagenet_vit's parameters.
Command   mien run tiny_imagenet_vit_small --data.path tiny-imagenet-200
Result    42.2 % (40.1 to 44.4) of 2,000 validation images; one seed, 100 minutes on both cores of an AMD EPYC
          without bf16 (--train.processes 2), beside other work. It ships as mien:vit-tiny-imagenet.
"""

from mien.config import Augment, Data, Model, Recipe, Train

recipe = Recipe(
    name="tiny_imagenet_vit_small",
    data=Data(source="tiny_imagenet", size=48, channels=3, mean=0.5, std=0.25),
    model=Model(
        name="vit",
        stem="conv",
        stem_convs=2,
        stem_widths=(24, 48, 96),
        patch_size=8,
        embed_dim=192,
        depth=4,
        num_heads=3,
        mlp_ratio=2,
        pos_embed="none",
        global_pool="avg",
        init="torch",
    ),
    augment=Augment(hflip=0.5, scale=(0.9, 1.1), crop=40),
    train=Train(
        epochs=18,
        batch_size=128,
        optimizer="adamw",
        lr=1.5e-3,
        weight_decay=0.05,
        schedule="cosine",
        warmup_epochs=1,
        label_smoothing=0.1,
        gradient_clip=1.0,
        ema=0.998,
    ),
)
