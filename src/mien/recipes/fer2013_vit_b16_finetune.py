"""The ViT-B/16 of source report 5, pretrained on ImageNet, everything fine-tuned on FER2013.

Source    technical report of a course: 224 pixels, cross-entropy, AdamW, 8 epochs; the rate is not given. Report 4
          tried 1e-3 (does not converge), 1e-4 (right) and 1e-5 (too slow) on the same network; batch 32 is report 4's.
Reported  no accuracy; the validation loss rises while the training loss falls.
Command   mien run fer2013_vit_b16_finetune --data.path FER2013
          from a backbone of your own: --model.init RUN --data.size 64
Result    never run with its own weights, which are on the hub. From mien:vit-tiny-imagenet at 48 pixels, a third of the
          train images, 8 epochs: 53.3 % (51.7 to 55.0); its flags are in docs/how-to/transfer.md.
          At 224 pixels about 52 hours on two cores in fp32, from the measured step
          (results/finetune_step.json); an estimate, not run.
"""

from mien.config import Augment, Data, Model, Recipe, Train

recipe = Recipe(
    name="fer2013_vit_b16_finetune",
    data=Data(source="fer2013", size=224, channels=3),
    model=Model(
        name="vit",
        patch_size=16,
        embed_dim=768,
        depth=12,
        num_heads=12,
        init="hf-hub:google/vit-base-patch16-224",
    ),
    augment=Augment(hflip=0.5),
    train=Train(epochs=8, batch_size=32, optimizer="adamw", lr=1e-4, weight_decay=0.01, schedule="cosine"),
)
