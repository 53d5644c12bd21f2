"""V1.3 of source report 4: a ViT-B/16 pretrained on ImageNet with an MLP head 512-256.

Source    slides of a course project; google/vit-base-patch16-224, faces enlarged to 224, ReLU and dropout .5 in the
          head, 10 epochs at 1e-4. Whether the backbone was frozen is not given; here it is not.
Reported  accuracy .59 on public and private test together.
Command   mien run fer2013_vit_mlp_head --data.path FER2013
          frozen: --train.trainable head; rate, dropout and decay against each other:
          mien sweep fer2013_vit_mlp_head --train.weight_decay 0,0.1 --model.head_drop_rate 0,0.5
          --train.trainable all,head
Result    never run with its own weights, which are on the hub. From mien:vit-tiny-imagenet at 48 pixels, a third of the
          train images, 8 epochs: 54.2 % (52.6 to 55.9); its flags are in docs/how-to/transfer.md.
          At 224 pixels about 65 hours on two cores in fp32, from the measured step
          (results/finetune_step.json); an estimate, not run.
"""

from mien.recipes.fer2013_vit_b16_finetune import recipe as base

recipe = base.with_(
    name="fer2013_vit_mlp_head", model={"head_hidden": (512, 256), "head_drop_rate": 0.5}, train={"epochs": 10}
)
