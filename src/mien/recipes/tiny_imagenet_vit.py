"""Source report 5's ViT on Tiny ImageNet, from nothing: eight blocks of 768.

Source    technical report; 64x64 colour, patch 8, learned positions, class token, 8 layers of 4 heads, batch
          32, AdamW at 1e-4, betas .9 and .99, weight decay .1, cosine, 14 epochs. The MLP's width, the
          scale of the pixels, augmentation and initialisation are not given: 4 x 768, mean .5 and std .5,
          none, the ViT paper's.
Reported  curves only; it over-fits from epoch 6, on two T4 GPUs.
Command   mien run tiny_imagenet_vit --data.path tiny-imagenet-200
Result    never run to its end yet: no figure.
"""

from mien.config import Data, Model, Recipe, Train

recipe = Recipe(
    name="tiny_imagenet_vit",
    data=Data(source="tiny_imagenet", size=64, channels=3),
    model=Model(name="vit", patch_size=8, embed_dim=768, depth=8, num_heads=4),
    train=Train(
        epochs=14,
        batch_size=32,
        optimizer="adamw",
        lr=1e-4,
        betas=(0.9, 0.99),
        weight_decay=0.1,
        schedule="cosine",
    ),
)
