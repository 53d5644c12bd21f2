"""A plain ViT with as many parameters as the CNN fer2013_tiny, for questions that take minutes each on real faces.

Source    ours; fer2013_vit_scratch made narrow: 8-pixel patches, four blocks of 72, 0.25 M parameters.
Command   mien run fer2013_vit_small --data.path FER2013
          mien sweep fer2013_vit_small --data.path FER2013 --model.global_pool flatten,token,avg,seq
          mien sweep fer2013_vit_small --data.path FER2013 --data.train_fraction 0.01,0.1,0.5,1
Result    validation 47.6 % (46.0 to 49.3), clean images 47.0 %, macro-F1 .380; one seed, 9 minutes on one thread of an
          AMD EPYC without bf16, beside other work. fer2013_tiny after 8 epochs: 58.7 %. What one change makes of
          it: docs/understanding/ladder.md; on 1 to 100 % of the images: docs/understanding/questions.md.
"""

from mien.recipes.fer2013_vit_scratch import recipe as scratch

recipe = scratch.with_(
    name="fer2013_vit_small", model={"embed_dim": 72, "depth": 4, "mlp_ratio": 3.25}, train={"epochs": 8}
)
