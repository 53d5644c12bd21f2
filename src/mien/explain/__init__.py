"""Look inside a trained model: how a picture becomes a prediction, and whether the explanation can be believed.

mien.explain(mien.from_pretrained("runs/my-vit"), "photo.jpg")  # -> Explanation, all NumPy

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

import sys
from types import ModuleType

from mien.explain.explanation import Explanation, explain

__all__ = ["Explanation", "explain"]


class _Verb(ModuleType):
    """A package that can be called: `mien.explain(...)` is `mien.explain.explain(...)`.

    Importing a package puts it into its parent under its own name, where the verb of that name should be.
    """

    __call__ = staticmethod(explain)


sys.modules[__name__].__class__ = _Verb
