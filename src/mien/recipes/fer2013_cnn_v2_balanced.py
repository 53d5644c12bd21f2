"""CNN V2.1 of source report 4: fer2013_cnn_v2 with a class-balanced sampler.

Source    slides of a course project; each image is weighed by 1 / its class count, drawn with
          replacement, as many draws as there are training images.
Reported  a confusion matrix only; better where samples are few (disgust).
Command   mien run fer2013_cnn_v2_balanced --data.path FER2013
Result    validation 60.9 % (59.2 to 62.4), clean images 59.2 %, macro-F1 .586; disgust 66 % (37/56) where
          fer2013_cnn_v2 has 34 % (19/56); one seed, 10 minutes on one thread of an AMD EPYC, bf16, beside another
          training.
"""

from mien.recipes.fer2013_cnn_v2 import recipe as unbalanced

recipe = unbalanced.with_(name="fer2013_cnn_v2_balanced", train={"sampler": "balanced"})
