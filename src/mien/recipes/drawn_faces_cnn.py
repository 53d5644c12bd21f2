"""The quickstart's CNN on cluttered drawn faces, to see whether explanations point at what is known to matter.

Source    ours; heads anywhere in pictures of 64 pixels, with as much detail off brows, eyes and mouth as on them.
Command   mien run drawn_faces_cnn
          mien explain RUN --drawn 400
Result    validation 98.5 % (97.5 to 99.1), one seed, 8 minutes on one thread of a busy machine; where its maps point:
          docs/how-to/explain.md.
"""

from mien.recipes.quickstart import recipe as quickstart

recipe = quickstart.with_(
    name="drawn_faces_cnn",
    data={"clutter": True, "size": 64, "images": 5000},
    augment={"translate": 0.05},
    train={"epochs": 14},
)
