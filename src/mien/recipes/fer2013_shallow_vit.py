"""The shallow ViT of source reports 1 and 2, initialised as they did it.

Source    two versions of a course report; 32x32, four 16x16 patches, one shared block applied twice,
          10 epochs, batch 32. Optimizer and rate are not given: Adam, at a rate whose last loss comes
          near the reported one (at 1e-3 even the bad start is overcome in 10 epochs:
          log/2026-11-20-shallow-vit-scaled-init-gains-6-points.md).
Reported  26 % on the private test (968/3589), loss 2.496: above ln 7 = 1.946 even after 10 epochs.
Command   mien run fer2013_shallow_vit --data.path FER2013
Result    first loss 127; validation 32.9 % (31.4 to 34.5), macro-F1 .243; one seed, two minutes on
          two cores of an AMD EPYC, bf16.
"""

from mien.config import Data, Model, Recipe, Train

recipe = Recipe(
    name="fer2013_shallow_vit",
    data=Data(source="fer2013", size=32),
    model=Model(name="shallow_vit", init="report"),
    train=Train(epochs=10, batch_size=32, optimizer="adam", lr=3e-4, schedule="constant"),
)
