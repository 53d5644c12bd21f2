r"""fer2013_resnet goes on for twelve epochs, with a little noise and with itself and the shipped CNN as its teachers.

Source    ours. Two networks that were trained apart may answer better together than either alone; their mean answer to
          the very pixels that the student sees is learned beside the labels ("Born-Again Neural Networks", arXiv
          1805.04770; "A good teacher is patient and consistent", arXiv 2106.05237). Each image gets Gaussian noise of
          a standard deviation drawn between 0 and .05 of the range, as photos are grainier than FER2013.
Command   mien run fer2013_resnet --data.path FER2013
          mien run fer2013_resnet_taught --data.path FER2013 --model.init RUN --distill.teachers RUN \
              --distill.teachers mien:base
Result    validation 66.5 % (65.0 to 68.1), clean images 65.8 %, macro-F1 .595; with noise of .05 53.6 %; as far as can
          be told no more accurate than fer2013_resnet (.2 points, -.6 to 1.0); one seed, 32 minutes on one thread of an
          AMD EPYC, bf16, beside another training, after the 62 of fer2013_resnet.
"""

from mien import config
from mien.recipes.fer2013_resnet import recipe as base

recipe = config.build(
    base.model_dump(),
    {
        "name": "fer2013_resnet_taught",
        "augment": {"noise": 0.05},
        "train": {"epochs": 12, "lr": 0.06, "warmup_epochs": 1},
        "distill": {"weight": 0.7, "teachers": ("mien:base",)},  # and its own first run, by flag
    },
)
