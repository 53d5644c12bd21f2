"""A ResNet-18 pretrained on ImageNet, fine-tuned on FER2013: the fair comparison that source report 4 asks for.

Source    report 4 names pretrained CNNs as the next step for a comparison with pretrained ViTs. Faces enlarged to 224
          as for the ViTs; timm's weights; AdamW 3e-4 with a cosine, as usual for fine-tuning a small CNN.
Reported  nothing.
Command   mien run fer2013_resnet18_pretrained --data.path FER2013
          from a file: --model.init resnet18.pth
Result    never run: the weights are on the hub, and no machine with them at hand has run it yet. No figure.
"""

from mien.config import Augment, Data, Model, Recipe, Train

recipe = Recipe(
    name="fer2013_resnet18_pretrained",
    data=Data(source="fer2013", size=224, channels=3),
    model=Model(
        name="resnet",
        stem="conv7x7",
        widths=(64, 128, 256, 512),
        layers=(2, 2, 2, 2),
        init="hf-hub:timm/resnet18.a1_in1k",
    ),
    augment=Augment(hflip=0.5, rotate=10, translate=0.05, scale=(0.9, 1.1)),
    train=Train(
        epochs=8, batch_size=32, optimizer="adamw", lr=3e-4, weight_decay=0.01, schedule="cosine", warmup_epochs=1
    ),
)
