"""fer2013_shallow_vit with every matrix scaled by its fan-in: the first loss is ln 7.

Source    ours; source reports 1 and 2 name the badly scaled head as their own diagnosis.
Command   mien run fer2013_shallow_vit_scaled_init --data.path FER2013
Result    first loss 1.96; validation 39.4 % (37.8 to 41.0), macro-F1 .310; one seed, two minutes on
          two cores of an AMD EPYC, bf16.
"""

from mien.config import Model
from mien.recipes.fer2013_shallow_vit import recipe as as_reported

recipe = as_reported.with_(name="fer2013_shallow_vit_scaled_init", model=Model(name="shallow_vit", init="scaled"))
