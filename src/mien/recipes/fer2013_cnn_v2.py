"""CNN V2 of source report 4 on FER2013.

Source    slides of a course project; four convolutions with batch norm, batch 32. Optimizer, rate and
          epochs are not given: Adam at 1e-3 with a cosine over 20 epochs, left-right
          flips.
Reported  accuracy .6067, F1 .5887 on public and private test together.
Command   mien run fer2013_cnn_v2 --data.path FER2013
Result    validation 62.6 % (61.0 to 64.2), clean images 61.2 %, macro-F1 .576; one seed, 14 minutes on
          two cores of an AMD EPYC, bf16, shared with other work; flips were still inside bf16 (LOG.md).
"""

from mien.config import Augment, Data, Model, Recipe, Train

recipe = Recipe(
    name="fer2013_cnn_v2",
    data=Data(source="fer2013"),
    model=Model(name="cnn_v2"),
    augment=Augment(hflip=0.5),
    train=Train(epochs=20, batch_size=32, optimizer="adam", lr=1e-3, schedule="cosine"),
)
