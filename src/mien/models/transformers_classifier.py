"""Any image classifier of Hugging Face's transformers, as it is. `mien.adopt` makes one."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mien.errors import DataError, UsageError, require
from mien.models.transformers_classifier_sizes import TransformersClassifierSizes

ATTENTION = "eager"  # in its steps: fused, torch exports it for one size of batch only


class TransformersClassifier(nn.Module):
    """The network that a config.json of transformers describes; its code is the installed library's own.

    Raises MissingError without transformers, UsageError for a kind of network that it has no image classifier for.
    """

    def __init__(self, sizes: TransformersClassifierSizes) -> None:
        super().__init__()
        require("An image classifier of transformers", "transformers")
        from transformers import AutoConfig, AutoModelForImageClassification

        values: dict[str, Any] = json.loads(sizes.config)
        kind = values.pop("model_type", "")
        try:
            config = AutoConfig.for_model(kind, **{key: each for key, each in values.items() if key != "auto_map"})
            self.network = AutoModelForImageClassification.from_config(config, attn_implementation=ATTENTION)
        except Exception as error:  # its networks' own, of which there are many
            told = (str(error) or type(error).__name__).splitlines()[0]
            raise UsageError(f"transformers builds no image classifier of model_type '{kind}': {told}") from error

    def load(self, folder: Path, source: str) -> None:
        """Take the weights of a folder as transformers reads them, whose names in files are not those in memory.

        source: what messages call it. Raises DataError where a tensor is missing, surplus or of another shape.
        """
        from transformers import AutoModelForImageClassification

        with _quietly():
            self.network, found = AutoModelForImageClassification.from_pretrained(
                folder, config=self.network.config, local_files_only=True, output_loading_info=True, dtype="float32",
                attn_implementation=ATTENTION, ignore_mismatched_sizes=True,
            )  # fmt: skip
        problems = {
            "lacks": "missing_keys",
            "has unknown": "unexpected_keys",
            "has of another shape": "mismatched_keys",
        }
        for what, key in problems.items():
            if names := sorted(each if isinstance(each, str) else each[0] for each in found[key]):
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                raise DataError(f"{source} does not fit its config.json: it {what} {', '.join(names[:3])}{more}.")

    def forward(self, images: Tensor) -> Tensor:
        """Scaled images (B, C, H, W) -> logits (B, K)."""
        return self.network(pixel_values=images).logits

    def get_classifier(self) -> nn.Module:
        """The last linear layer."""
        return [module for module in self.network.modules() if isinstance(module, nn.Linear)][-1]


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep back transformers' bar and its report of tensors that do not fit: what is wrong with them is said here."""
    from transformers.utils import logging as theirs

    before, bar = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity(logging.CRITICAL)
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.set_verbosity(before)
        if bar:
            theirs.enable_progress_bar()
