r"""fer2013_vit_scratch with Muon and relative positions: our best ViT for FER2013 of plain patches, without a teacher.

Source    ours. Muon on matrices, AdamW on norms and head (arXiv 2605.24770); positions relative to each other in every
          block (log/2026-11-22-relative-positions-bring-1.5-points.md).
Command   mien run fer2013_vit_scratch_muon --data.drop_leaks near --data.path FER2013
          The run below left out 937 training images that show a photograph of validation again, by a list made before
          this search.
Result    validation 59.5 % (57.9 to 61.1), without copies in train 59.1 % (57.3 to 60.8 of 3,104), macro-F1 .537; one
          seed, 53 minutes on one thread of an Intel Xeon (bf16, AMX), beside other work. fer2013_vit_scratch has 55.7 %
          after 99 minutes on another machine. Training accuracy is 65.5 % at the end, so it over-fits now; ten more
          epochs with mixup and harder images: 59.0 % (log/2026-11-30-plain-patches-with-muon-reach-59.5.md).
"""

from mien.recipes.fer2013_vit_scratch import recipe as base

recipe = base.with_(
    name="fer2013_vit_scratch_muon",
    model={"pos_embed": "relative"},
    train={
        "optimizer": "muon",
        "lr": 0.02,
        "batch_size": 128,
        "epochs": 36,
        "ema": 0.998,
    },
)
