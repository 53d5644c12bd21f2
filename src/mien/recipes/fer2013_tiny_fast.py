r"""A CNN for FER2013 of a fifth of fer2013_tiny's work: 23 MFLOP a face, 0.33 M parameters, trained with Muon.

Source    ours; fer2013_tiny whose stem halves the side, with widths that are multiples of 16, which onnxruntime likes:
          5.5 times as fast as mien:tiny, and within the time of fer's int8 network
          (log/2026-11-29-a-stem-of-stride-2-is-5-times-as-fast.md). Muon on filters, AdamW on norms and head
          (arXiv 2605.24770).
Command   mien run fer2013_tiny_fast --data.drop_leaks near --data.path FER2013
          The run below left out 937 training images that show a photograph of validation again, by a list made before
          this search; the search finds all but one of its 591 photographs, and 313 others.
Result    validation 63.3 % (61.7 to 64.8), without the faces of that list 62.0 % (60.3 to 63.8 of 2,998),
          macro-F1 .544; one seed, 61 minutes on one thread of an Intel Xeon (bf16, AMX), of which it had a quarter,
          beside other work (14 minutes of CPU time). 2.4 points below mien:tiny (1.2 to 3.7), whose training images
          include some of the copies. From epoch 22 on only training accuracy rises (68.5 %). Twenty epochs more with
          noise, harder images and its own answers: 62.2 % (60.6 to 63.8), and 56.6 % with noise of .1 where it has
          24.7 (log/2026-11-30-harder-images-cost-tiny-fast-a-point.md). In results/runs.csv it is fer2013_tiny with
          these settings.
"""

from mien.recipes.fer2013_tiny import recipe as base

recipe = base.with_(
    name="fer2013_tiny_fast",
    model={"stem": "conv5x5", "widths": (16, 48, 64, 128)},
    train={
        "optimizer": "muon",
        "lr": 0.02,
        "weight_decay": 0.05,
        "batch_size": 128,
        "epochs": 30,
        "warmup_epochs": 3,
    },
)
