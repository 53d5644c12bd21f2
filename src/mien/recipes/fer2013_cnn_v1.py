"""CNN V1 of source report 4 on FER2013.

Source    slides of a course project; grey 48x48, mean .5, std .5, batch 32. The drawing of the network
          cannot be read (see mien.models.cnn_v1); Adam at 1e-3 is the field's usual choice.
Reported  accuracy .5181, F1 .5220 on public and private test together; nothing learned after epoch 2.
Command   mien run fer2013_cnn_v1 --data.path FER2013
Result    validation 55.0 % (53.4 to 56.7), clean images 52.3 %, macro-F1 .509; one seed, 4 minutes on
          two cores of an AMD EPYC, bf16, shared with other work.
"""

from mien.config import Data, Model, Recipe, Train

recipe = Recipe(
    name="fer2013_cnn_v1",
    data=Data(source="fer2013"),
    model=Model(name="cnn_v1"),
    train=Train(epochs=10, batch_size=32, optimizer="adam", lr=1e-3, schedule="constant"),
)
