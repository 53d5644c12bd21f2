"""Source report 4's ViT from nothing, which stays at the loss of the class frequencies.

Source    slides of a course project: convolution stem, transformer encoder, linear; batch 32, about 20
          epochs, here 5. Widths, rate and optimizer are not given. Taken here: torch's own encoder defaults
          (norms after the residual branches, dropout 0.1), its default initialisation, Adam at 1e-3, no warm-up.
Reported  loss 1.81, accuracy .25: the entropy of the class frequencies and the share of "happy".
Command   mien run fer2013_vit_scratch_naive --data.path FER2013
Result    validation 24.9 % (23.5 to 26.4), loss 1.81, macro-F1 .057, as reported: "happy" for every face; one seed,
          70 minutes on one busy thread of an AMD EPYC without bf16. What frees it:
          log/2026-11-21-naive-vit-is-held-by-its-optimisation.md.
"""

from mien.config import Data, Model, Recipe, Train

recipe = Recipe(
    name="fer2013_vit_scratch_naive",
    data=Data(source="fer2013"),
    model=Model(
        name="vit",
        stem="conv",
        patch_size=8,
        embed_dim=128,
        depth=6,
        num_heads=8,
        pre_norm=False,
        init="torch",
        drop_rate=0.1,
    ),
    train=Train(epochs=5, batch_size=32, optimizer="adam", lr=1e-3, schedule="constant"),
)
