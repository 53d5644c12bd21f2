"""The small CNN of source reports 1 and 2 on FER2013, without augmentation.

Source    two versions of a course report; LeNet-like, 1x32x32, 10 epochs, batch 32. Optimizer and rate
          are not given: Adam at 1e-3 is the field's usual choice.
Reported  39 % on the private test (1401/3589), loss 1.557.
Command   mien run fer2013_lenet --data.path FER2013
Result    validation 50.5 % (48.9 to 52.1), clean images 48.7 %, macro-F1 .459; one seed, 60 s on
          two cores of an AMD EPYC, bf16.
"""

from mien.config import Data, Model, Recipe, Train

recipe = Recipe(
    name="fer2013_lenet",
    data=Data(source="fer2013", size=32),
    model=Model(name="lenet"),
    train=Train(epochs=10, batch_size=32, optimizer="adam", lr=1e-3, schedule="constant"),
)
