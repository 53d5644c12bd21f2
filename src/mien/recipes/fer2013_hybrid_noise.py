r"""fer2013_hybrid goes on for nine epochs with noise and milder changes.

Source    ours. As fer2013_resnet_noise: each image gets Gaussian noise of a standard deviation drawn between 0 and .1
          of the range (arXiv 1903.12261); its teacher, the run that it goes on from, knows no noise and is asked once,
          about the images as they are.
Command   mien run fer2013_hybrid_noise --data.drop_leaks near --data.path FER2013 --model.init HYBRID_RUN \
              --distill.teachers HYBRID_RUN
          mien average TAUGHT_RUN NOISE_RUN
          HYBRID_RUN was fer2013_hybrid, TAUGHT_RUN fer2013_hybrid_taught, NOISE_RUN what this recipe trains.
Result    validation 67.9 % (66.3 to 69.4), without copies in train 66.6 % (65.0 to 68.3 of 3,104), macro-F1 .630; one
          seed, 46 minutes on one thread of an Intel Xeon (bf16, AMX), beside other work. The average of it and of
          fer2013_hybrid_taught ships as mien:vit: 69.0 % (67.5 to 70.5), without copies in train 67.7 % (66.0 to 69.3),
          macro-F1 .650; calibration error .036 once exported; with noise of .05 64.3 % (HYBRID_RUN 41.1), of .1 54.2 %
          (19.8). 1.2 points above this run, paired (.3 to 2.0); no different from mien:base (.5, -.5 to 1.6),
          which saw copies, but 1.2 above it (.1 to 2.4) on the 2,998 images without any in the whole train split.
"""

from mien.recipes.fer2013_hybrid import recipe as base

recipe = base.with_(
    name="fer2013_hybrid_noise",
    augment={
        "rotate": 10,
        "translate": 0.04,
        "scale": (0.9, 1.1),
        "contrast": 0.2,
        "brightness": 0,
        "erase": 0.2,
        "noise": 0.1,
    },
    distill={"stored": True},
    train={"epochs": 9, "lr": 0.006},
)
