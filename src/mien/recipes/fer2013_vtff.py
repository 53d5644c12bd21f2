"""VTFF for FER2013, from nothing: each face and its local binary pattern, fused and read by a transformer.

Source    Ma, Sun and Li (arXiv 2103.16854), who report 88.81 % on FERPlus, the same images under eight other labels,
          and nothing on FER2013's own. Our sizes, for 48 pixels and two cores: a 3x3 stem and narrow branches of one
          block a stage (36 words of 128), the published depth of 4, the fusion that is a mean of both (F). Trained
          as fer2013_vit_best, whose patches have the same side. No outside data.
Command   mien run fer2013_vtff --data.path FER2013
Result    validation 62.0 % (60.4 to 63.6), clean images 61.0 %, macro-F1 .558; one seed, 66 minutes on one thread of an
          AMD EPYC, bf16, beside another training. It still improves at its last epoch.
"""

from mien.config import Augment, Data, Model, Recipe, Train

recipe = Recipe(
    name="fer2013_vtff",
    data=Data(source="fer2013", drop_leaks=True, mean=0.5, std=0.25),
    model=Model(
        name="vtff",
        fusion="F",
        widths=(24, 48, 96, 192),
        layers=(1, 1, 1, 1),
        stem="conv3x3",
        embed_dim=128,
        depth=4,
        num_heads=4,
        drop_path_rate=0.05,
    ),
    augment=Augment(hflip=0.5, rotate=10, translate=0.06, scale=(0.9, 1.1), contrast=0.2),
    train=Train(
        epochs=15,
        batch_size=64,
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
