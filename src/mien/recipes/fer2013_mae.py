"""The ViT of fer2013_vit_scratch, pretrained on FER2013's training images without their labels (MAE).

Source    He et al., "Masked Autoencoders Are Scalable Vision Learners" (arXiv 2111.06377): decoder, loss, AdamW's betas
          and weight decay are theirs. Ours for 36 patches: 14 of them stay visible (mask 0.6, not 0.75), a decoder
          of one block of 128, a rate for small batches. The images are the training split alone, without its copies
          of validation and test images.
Command   mien run fer2013_mae --data.path FER2013
          mien run fer2013_vit_scratch --data.path FER2013 --model.init runs/fer2013_mae-...
Result    24 of the 80 epochs: masked patches' loss .653 on validation, 35 minutes on two cores of an AMD EPYC without
          bf16, beside tests. With a fifth of the labels, 12 epochs of fer2013_vit_scratch from it reach 48.5 % where
          random weights reach 43.4 % (paired interval of the gain 3.7 to 6.5). Its 80 epochs have not been run.
"""

from mien.config import Augment, Data, Pretrain, Recipe, Train
from mien.recipes.fer2013_vit_scratch import recipe as fine_tuning

recipe = Recipe(
    name="fer2013_mae",
    data=Data(source="fer2013", drop_leaks=True, mean=0.5, std=0.25),
    model=fine_tuning.model,
    augment=Augment(hflip=0.5, translate=0.06, scale=(0.9, 1.25)),
    train=Train(
        epochs=80,
        batch_size=128,
        optimizer="adamw",
        lr=1e-3,
        betas=(0.9, 0.95),
        weight_decay=0.05,
        schedule="cosine",
        warmup_epochs=4,
        gradient_clip=1.0,
    ),
    pretrain=Pretrain(method="mae", mask_ratio=0.6, decoder_dim=128, decoder_depth=1),
)
