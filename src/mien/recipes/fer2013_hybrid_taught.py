r"""fer2013_hybrid goes on for ten epochs with mixup and with itself as its teacher.

Source    ours. A network that teaches one of its own kind ("Born again neural networks", Furlanello et al.,
          arXiv 1805.04770), asked at each step about the pixels that the student sees ("A good teacher is patient and
          consistent", arXiv 2106.05237); mixup as in fer2013_resnet_mixup. Seven tenths of the loss are its answers.
Command   mien run fer2013_hybrid_taught --data.drop_leaks near --data.path FER2013 --model.init HYBRID_RUN \
              --distill.teachers HYBRID_RUN
          HYBRID_RUN was fer2013_hybrid. The run in results/ had a schedule of twelve epochs for its first four.
Result    validation 68.7 % (67.2 to 70.2), without copies in train 67.5 % (65.8 to 69.1 of 3,104), macro-F1 .637; one
          seed, 67 minutes on one thread of an Intel Xeon (bf16, AMX), beside other work. No different from the run that
          it goes on from (.1 points, paired -.8 to 1.0).
"""

from mien.recipes.fer2013_hybrid import recipe as base

recipe = base.with_(
    name="fer2013_hybrid_taught",
    augment={"mixup": 0.2},
    distill={"weight": 0.7},
    train={"epochs": 10, "lr": 0.006},
)
