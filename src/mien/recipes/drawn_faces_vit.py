"""A small plain ViT on drawn faces, to answer questions about ViTs in two minutes each.

Source    ours; quickstart's ViT with plain patches in place of the convolutional stem, a fourth block, the mean of its
          tokens and ten epochs.
Command   mien run drawn_faces_vit
          mien sweep drawn_faces_vit --model.pos_embed none,learn,learn2d,sincos2d,relative
          mien sweep drawn_faces_vit --model.global_pool token,avg,seq,flatten
          mien sweep drawn_faces_vit --model.shared_blocks true,false
Result    validation 62.5 % (58.6 to 66.3), one seed, 72 seconds on one thread of an AMD EPYC without bf16; a head
          on all tokens 96.5 %, see docs/understanding/ladder.md for the other questions.
"""

from mien.recipes.quickstart import vit

recipe = vit.with_(
    name="drawn_faces_vit",
    model={"stem": "patch", "depth": 4, "global_pool": "avg"},
    train={"epochs": 10},
)
