r"""A CNN for FER2013 within the time of fer's int8 network, taught by a hybrid: 30 MFLOP a face, 0.55 M parameters.

Source    ours; fer2013_tiny_fast with wider last stages, which cost little where maps are small, for half as long
          again, with mixup (arXiv 1710.09412). Eight tenths of the loss are its teacher's answers about the pixels that
          it sees ("A good teacher is patient and consistent", arXiv 2106.05237).
Command   mien run fer2013_nano --data.drop_leaks near --data.path FER2013 --distill.teachers HYBRID_RUN
          HYBRID_RUN was the average of fer2013_hybrid, fer2013_hybrid_taught and fer2013_hybrid_noise (69.2 %). 937
          training images that show a photograph of validation again were left out of all of them, by a list made before
          mien searched for them.
Result    validation 66.0 % (64.4 to 67.5), without copies in train 65.1 % (63.4 to 66.7 of 3,104), macro-F1 .600; one
          seed, 93 minutes on one thread of an Intel Xeon (bf16, AMX), beside other work, its teacher's time apart. No
          different from mien:tiny (.2 points, paired -.9 to 1.4), which saw copies and does four times the work.
          It has seen no noise: fer2013_nano_noise goes on from it.
"""

from mien.config import Distill
from mien.recipes.fer2013_tiny_fast import recipe as base

recipe = base.with_(
    name="fer2013_nano",
    model={"widths": (16, 48, 96, 160)},
    augment={"rotate": 15, "translate": 0.08, "scale": (0.85, 1.15), "contrast": 0.2, "brightness": 0.1, "mixup": 0.2},
    distill=Distill(weight=0.8),
    train={"epochs": 45},
)
