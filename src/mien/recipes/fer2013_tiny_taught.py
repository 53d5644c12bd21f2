"""fer2013_tiny with the shipped CNN as its teacher from the first step, and with noise.

Source    ours. Does in one run of 34 epochs what fer2013_tiny and fer2013_tiny_noise do in two of 48: the teacher,
          mien:base, is asked at each step about the very pixels that the student sees (arXiv 2106.05237), each of
          which gets Gaussian noise of a standard deviation drawn between 0 and .1 of the range. mien:base was then the
          average of fer2013_cnn_best and fer2013_cnn_best_noise (66.8 %).
Command   mien run fer2013_tiny_taught --data.path FER2013
"""

from mien import config
from mien.recipes.fer2013_tiny import recipe as base

recipe = config.build(
    base.model_dump(),
    {
        "name": "fer2013_tiny_taught",
        "augment": {"noise": 0.1},
        "train": {"epochs": 34},
        "distill": {"teachers": ("mien:base",)},
    },
)
