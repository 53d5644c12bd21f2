"""CNN V2 of source report 4 on FER2013.

Source    slides of a course project; four convolutions with batch norm, batch 32. Optimizer, rate and
          epochs are not given: Adam at 1e-3 with a cosine over 20 epochs, left-right
          flips.
Reported  accuracy .6067, F1 .5887 on public and private test together.
Command   mien run fer2013_cnn_v2 --data.path FER2013
Result    validation 62.4 % (60.8 to 63.9), clean images 60.8 %, macro-F1 .584, weighted F1 .617; one seed, 16 minutes
          on one thread of an AMD EPYC, bf16, beside another training.
"""

from mien.config import Augment, Data, Model, Recipe, Train

recipe = Recipe(
    name="fer2013_cnn_v2",
    data=Data(source="fer2013"),
    model=Model(name="cnn_v2"),
    augment=Augment(hflip=0.5),
    train=Train(epochs=20, batch_size=32, optimizer="adam", lr=1e-3, schedule="cosine"),
)
