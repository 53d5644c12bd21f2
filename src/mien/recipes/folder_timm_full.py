"""Everything of a pretrained network fine-tuned on a folder at a low rate: what follows on folder_timm.

Source    ours: from the run of folder_timm, so that a head that has learned sends no noise into the backbone (Kumar et
          al., arXiv 2202.10054); rates fall towards the image.
Command   mien run folder_timm_full --data.path FOLDER --model.init RUN_OF_FOLDER_TIMM
Result    depends on the folder. Dogs vs Cats: see dogs_vs_cats_efficientnet_full, trained alike; about five minutes
          for 1,280 pictures on one thread.
"""

from mien.recipes.dogs_vs_cats_efficientnet_full import recipe as base

recipe = base.with_(name="folder_timm_full", data={"source": "folder", "drop_leaks": True})
