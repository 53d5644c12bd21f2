"""A ViT-B/16 pretrained on ImageNet, everything fine-tuned on Dogs vs Cats: source report 3's better experiment.

Source    project report of a course: jx_vit_base_p16_224-80ecf9dd.pth (timm's names), head Linear(768, 2), 20,000
          training images; 5 epochs, batch 16, Adam at 1e-4, cosine.
Reported  98.65 % on 2,000 test images.
Command   mien run dogs_vs_cats_vit_full --data.path DOGS_VS_CATS
          from the report's file: --model.init jx_vit_base_p16_224-80ecf9dd.pth
Result    never run: the weights are on the hub, and no machine with them at hand has run it yet. No figure.
          With Kaggle's 25,000 images about 25 hours on two cores in fp32, from the measured step
          (results/finetune_step.json); an estimate.
"""

from mien.config import Data, Model, Recipe, Train

recipe = Recipe(
    name="dogs_vs_cats_vit_full",
    data=Data(source="dogs_vs_cats", size=224, channels=3),
    model=Model(
        name="vit",
        patch_size=16,
        embed_dim=768,
        depth=12,
        num_heads=12,
        init="hf-hub:timm/vit_base_patch16_224.augreg2_in21k_ft_in1k",
    ),
    train=Train(epochs=5, batch_size=16, optimizer="adam", lr=1e-4, schedule="cosine"),
)
