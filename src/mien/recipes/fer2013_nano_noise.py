r"""fer2013_nano goes on for fifteen epochs with noise and a teacher that knows noise.

Source    ours. As fer2013_tiny_noise: each image gets Gaussian noise of a standard deviation drawn between 0 and .1 of
          the range (arXiv 1903.12261), and the teacher is asked about the very pixels that the student sees ("A good
          teacher is patient and consistent", arXiv 2106.05237).
Command   mien run fer2013_nano_noise --data.drop_leaks near --data.path FER2013 --model.init NANO_RUN \
              --distill.teachers mien:vit
          mien average NANO_RUN NOISE_RUN
          NANO_RUN was fer2013_nano, NOISE_RUN what this recipe trains; the teacher was the run that ships as mien:vit.
Result    validation 64.9 % (63.3 to 66.4), without copies in train 64.1 % (62.4 to 65.8 of 3,104), macro-F1 .583; with
          noise of .05 62.0 % (before 50.2), of .1 54.5 % (29.4); one seed, 24 minutes on one thread of an Intel Xeon
          (bf16, AMX), beside other work. The average of it and of fer2013_nano ships as mien:nano: 65.9 % (64.3 to
          67.4), without copies in train 65.1 % (63.4 to 66.7), macro-F1 .601; with noise 60.3 and 46.3 %; 1.0 points
          above this run, paired (.2 to 1.8), no different from mien:tiny (.2, -1.0 to 1.3), which saw copies.
"""

from mien.recipes.fer2013_nano import recipe as base

recipe = base.with_(
    name="fer2013_nano_noise",
    augment={"mixup": 0.0, "noise": 0.1},
    train={"epochs": 15, "lr": 0.01, "warmup_epochs": 1},
)
