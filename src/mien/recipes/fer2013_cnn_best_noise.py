r"""fer2013_cnn_best goes on for twelve epochs with noise, so that a grainy photo does not upset it.

Source    ours. FER2013's faces are smooth 48-pixel JPEGs, and a network that has seen no others loses nearly half of
          its right answers to noise that people hardly notice (log/2026-11-21-noise-breaks-cnn-best.md). Each image
          gets Gaussian noise of a standard deviation drawn between 0 and .1 of the range (Hendrycks & Dietterich,
          arXiv 1903.12261, measure such). Its teachers are asked once, about the images as they are: noise would
          upset them.
Command   mien run fer2013_cnn_best_noise --data.path FER2013 --model.init CNN_BEST_RUN \
              --distill.teachers CNN_BEST_RUN --distill.teachers TINY_RUN
          mien average CNN_BEST_RUN RUN
Result    validation 66.0 % (64.4 to 67.5), clean images 65.1 %, macro-F1 .600; with noise of .05 64.0 % (before 38.0),
          of .1 57.9 % (19.2); one seed, 35 minutes on both cores of an AMD EPYC without bf16 (--train.processes 2).
          The average was mien:base until 22 November 2026: 66.9 % (65.3 to 68.4), clean images 66.0 %, macro-F1 .611;
          with noise 60.4 and 46.4 %.
"""

from mien.recipes.fer2013_cnn_best import recipe as base

recipe = base.with_(
    name="fer2013_cnn_best_noise",
    augment={"noise": 0.1},
    distill={"stored": True},
    train={"epochs": 12, "lr": 0.03, "warmup_epochs": 1},
)
