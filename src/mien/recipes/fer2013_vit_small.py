"""A plain ViT with as many parameters as the CNN fer2013_tiny, for questions that take minutes each on real faces.

Source    ours; fer2013_vit_scratch made narrow: 8-pixel patches, four blocks of 72, 0.25 M parameters.
Command   mien run fer2013_vit_small --data.path FER2013
          mien sweep fer2013_vit_small --data.path FER2013 --model.global_pool flatten,token,avg,seq
          mien sweep fer2013_vit_small --data.path FER2013 --data.train_fraction 0.01,0.1,0.5,1
Result    not run yet
"""

from mien.config import Recipe
from mien.recipes.fer2013_vit_scratch import recipe as scratch

recipe = Recipe(
    name="fer2013_vit_small",
    data=scratch.data,
    model=scratch.model.model_copy(update={"embed_dim": 72, "depth": 4, "mlp_ratio": 3.25}),
    augment=scratch.augment,
    train=scratch.train.model_copy(update={"epochs": 8}),
)
