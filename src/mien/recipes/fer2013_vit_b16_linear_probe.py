"""A linear head on a frozen ViT-B/16 pretrained on ImageNet: source reports 1 and 2.

Source    two versions of a course report: torchvision's vit_b_16, head Linear(768, 7), everything else frozen;
          epochs and optimizer are not given. Here the backbone runs once and the head learns from its features.
Reported  accuracy .50, loss 1.314 on the private test; one pass over 3,589 images took 37 minutes.
Command   mien run fer2013_vit_b16_linear_probe --data.path FER2013
Result    never run with its own weights, which are on the hub. From mien:vit-tiny-imagenet at 48 pixels, a third of the
          train images, 8 epochs: 38.5 % (37.0 to 40.1); its flags are in docs/how-to/transfer.md.
          At 224 pixels about two and a half hours on two cores in fp32, nearly all of it for storing the features,
          from what 310 images took (results/head_only.json); an estimate, not run.
"""

from mien.recipes.fer2013_vit_b16_finetune import recipe as base

recipe = base.with_(
    name="fer2013_vit_b16_linear_probe",
    augment={"hflip": 0.0},
    train={"trainable": "head", "lr": 1e-3, "epochs": 20, "batch_size": 128, "weight_decay": 0.0},
)
