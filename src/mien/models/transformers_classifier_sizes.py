"""The sizes of an image classifier of transformers."""

from __future__ import annotations

from pydantic import Field

from mien.models.sizes import Sizes


class TransformersClassifierSizes(Sizes):
    """Of `transformers_classifier.TransformersClassifier`."""

    config: str = Field(default="{}", description="Its config.json, as text.")
