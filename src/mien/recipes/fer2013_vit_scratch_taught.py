"""Our plain ViT for FER2013, from nothing, with the shipped CNN as its teacher: 6-pixel patches, no outside data.

Source    ours. fer2013_vit_scratch under-fits: its training accuracy is no higher than that of validation. So it gets
          finer patches (64 tokens in place of 36) and a teacher that knows what convolutions know (arXiv 2012.12877),
          asked at each step about the very pixels that the student sees ("A good teacher is patient and consistent",
          arXiv 2106.05237). The teacher, mien:base, learned from the same training images and no others; it was then
          the average of fer2013_cnn_best and fer2013_cnn_best_noise (66.8 % in fp16).
Command   mien run fer2013_vit_scratch_taught --data.path FER2013 --train.compile
Result    validation 57.4 % (55.7 to 59.0), clean images 56.5 %, macro-F1 .484; one seed, 75 minutes on one thread of an
          AMD EPYC, bf16, beside another training. How much of it are the patches and how much the teacher is open.
"""

from mien.recipes.fer2013_vit_scratch import recipe as base

recipe = base.with_(
    name="fer2013_vit_scratch_taught",
    model={"patch_size": 6},
    train={"epochs": 25},
    distill={"teachers": ("mien:base",)},
)
