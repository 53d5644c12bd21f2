"""A small plain ViT on drawn faces, to answer questions about ViTs in two minutes each.

Source    ours; quickstart's ViT with plain patches in place of the convolutional stem.
Command   mien run drawn_faces_vit
          mien sweep drawn_faces_vit --model.pos_embed none,learn,learn2d,sincos2d,relative
          mien sweep drawn_faces_vit --model.global_pool token,avg,seq,flatten
          mien sweep drawn_faces_vit --model.shared_blocks true,false
Result    never run to its end yet: no figure.
"""

from mien.recipes.quickstart import vit

recipe = vit.model_copy(
    update={"name": "drawn_faces_vit", "model": vit.model.model_copy(update={"stem": "patch", "depth": 4})}
)
