r"""A hybrid for FER2013: the stages of a trained ResNet make 36 tokens, four blocks of attention read them: mien:vit.

Source    ours; the hybrid of the ViT paper (Dosovitskiy et al., arXiv 2010.11929), whose tokens are a CNN's maps, here
          of a ResNet that has learned FER2013 already. The blocks start anew, with relative positions
          (log/2026-11-22-relative-positions-bring-1.5-points.md) and a head on all tokens; Muon trains all of it
          (arXiv 2605.24770). The teachers are asked at each step about the pixels that the student sees
          ("A good teacher is patient and consistent", arXiv 2106.05237).
Command   mien run fer2013_hybrid --data.drop_leaks near --data.path FER2013 --model.init RESNET_RUN \
              --distill.teachers RESNET_RUN --distill.teachers VIT_RUN
Result    RESULT
"""

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
        drop_path_rate=0.1,
    ),
    augment=Augment(hflip=0.5, rotate=15, translate=0.08, scale=(0.8, 1.2), contrast=0.3, brightness=0.1, erase=0.3),
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
