r"""A hybrid for FER2013: the stages of a trained ResNet make 36 tokens, four blocks of attention read them.

Source    ours; the hybrid of the ViT paper (Dosovitskiy et al., arXiv 2010.11929), whose tokens are a CNN's maps, here
          of a ResNet that has learned FER2013 already. The blocks start anew, with relative positions
          (log/2026-11-22-relative-positions-bring-1.5-points.md) and a head on all tokens; Muon trains all of it
          (arXiv 2605.24770). The teachers are asked at each step about the pixels that the student sees
          ("A good teacher is patient and consistent", arXiv 2106.05237).
Command   mien run fer2013_hybrid --data.drop_leaks near --data.path FER2013 --model.init RESNET_RUN \
              --distill.teachers RESNET_RUN --distill.teachers VIT_RUN
          RESNET_RUN was fer2013_resnet_mixup and VIT_RUN fer2013_vit_best, both with Muon
          (log/2026-11-30-muon-for-32-epochs-gives-base-nothing.md,
          log/2026-11-30-muon-and-harder-images-for-a-vit-alone.md). All three left out 937
          training images that show a photograph of validation again, by a list made before mien searched for them.
Result    validation 68.6 % (67.1 to 70.1), without copies in train 67.5 % (65.9 to 69.2 of 3,104), macro-F1 .637; one
          seed, 75 minutes on one thread of an Intel Xeon (bf16, AMX), beside other work, after the 119 of its ResNet
          and the 164 of the ViT that is a teacher. 2.0 points above its ResNet, paired (1.0 to 3.0); no different from
          mien:base (.1, -1.1 to 1.3), which saw copies.
          Calibration error .032 once exported; with noise of .05 41.1 %, of .1 19.8 %. fer2013_hybrid_taught and
          fer2013_hybrid_noise go on from it, to mien:vit.
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
        epochs=11,
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
