r"""fer2013_tiny with the shipped CNN as its teacher from the first step, for 44 epochs in place of 36.

Source    ours. The teacher is asked at each step about the very pixels that the student sees ("A good teacher is
          patient and consistent", arXiv 2106.05237); it was then the average of fer2013_cnn_best and
          fer2013_cnn_best_noise (66.8 % in fp16). fer2013_tiny_noise goes on from it.
Command   mien run fer2013_tiny_taught --data.path FER2013
Result    validation 65.8 % (64.2 to 67.3), clean images 65.1 %, macro-F1 .585; one seed, 55 minutes on one thread of an
          AMD EPYC, bf16, beside another training.
"""

from mien.recipes.fer2013_tiny import recipe as base

recipe = base.with_(name="fer2013_tiny_taught", train={"epochs": 44}, distill={"teachers": ("mien:base",)})
