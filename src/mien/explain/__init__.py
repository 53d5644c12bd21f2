"""Look inside a trained model: how a picture becomes a prediction, and whether the explanation can be believed.

mien.explain("runs/my-vit", "photo.jpg")  # -> Explanation, all NumPy

capture.py        what happens inside any model, by name
attention.py      weights, their reach, rollout, relevance
position.py       what position embeddings know of the grid
features.py       first filters, feature maps
attribution.py    which pixels made the model say so
faithfulness.py   whether that is true
walk.py           the steps from pixels to probabilities
study.py          all of it, of one face of a photo by a run
"""

from __future__ import annotations

from mien.explain.explanation import Explanation, explain

__all__ = ["Explanation", "explain"]
