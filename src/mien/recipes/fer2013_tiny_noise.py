r"""fer2013_tiny goes on for twelve epochs with noise and with a larger CNN as its teacher: mien:tiny.

Source    ours. As fer2013_cnn_best_noise: each image gets Gaussian noise of a standard deviation drawn between 0 and
          .1 of the range (arXiv 1903.12261). The teacher knows noise, so it is asked at each step about the very
          pixels that the student sees ("A good teacher is patient and consistent", arXiv 2106.05237).
Command   mien run fer2013_tiny_noise --data.path FER2013 --model.init TINY_RUN --distill.teachers BASE_RUN
          BASE_RUN is the average of fer2013_cnn_best and fer2013_cnn_best_noise (66.9 %).
          mien run fer2013_tiny_noise --data.path FER2013 --model.init TINY_TAUGHT_RUN --distill.teachers mien:base
          mien average TINY_TAUGHT_RUN RUN
Result    validation 65.8 % (64.2 to 67.3), clean images 65.0 %, macro-F1 .593; with noise of .05
          62.7 % (before 32.4), of .1 55.0 %; one seed, 54 minutes on one thread of an AMD EPYC without bf16, beside
          other work. It ships as mien:tiny. From fer2013_tiny_taught: 65.7 % (64.1 to 67.2), and the average of the two
          66.1 % (64.5 to 67.6), clean images 65.2 %, macro-F1 .593; with noise of .05 59.4 %, of .1 45.3 %.
"""

from mien.recipes.fer2013_tiny import recipe as base

recipe = base.with_(
    name="fer2013_tiny_noise", augment={"noise": 0.1}, train={"epochs": 12, "lr": 0.03, "warmup_epochs": 1}
)
