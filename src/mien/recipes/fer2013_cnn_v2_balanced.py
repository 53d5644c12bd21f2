"""CNN V2.1 of source report 4: fer2013_cnn_v2 with a class-balanced sampler.

Source    slides of a course project; each image is weighed by 1 / its class count, drawn with
          replacement, as many draws as there are training images.
Reported  a confusion matrix only; better where samples are few (disgust).
Command   mien run fer2013_cnn_v2_balanced --data.path FER2013
"""

from mien.recipes.fer2013_cnn_v2 import recipe as unbalanced

recipe = unbalanced.model_copy(
    update={
        "name": "fer2013_cnn_v2_balanced",
        "train": unbalanced.train.model_copy(update={"sampler": "balanced"}),
    }
)
