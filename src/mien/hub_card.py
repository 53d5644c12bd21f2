"""The README.md of a repository on the hub: YAML for the hub's search and tables, then the model card. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mien.hub import HUB, MINE
from mien.labels import has_expressions
from mien.runtime.card import model_card
from mien.runtime.network import Network

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

TASK = "image-classification"
DATASETS = {
    "affectnet": "AffectNet", "dogs_vs_cats": "Dogs vs Cats", "drawn_faces": "Drawn faces", "fer2013": "FER2013",
    "ferplus": "FER+", "raf_db": "RAF-DB", "tiny_imagenet": "Tiny ImageNet",
}  # fmt: skip  # a source of ours -> the data set's name; any other is a collection of its owner's
NO_LICENCE = (
    "Nobody has said under which licence these weights may be used. Ask their owner before you use them for more than "
    "a look."
)
OF_DATA = "Under which licence its training pictures may be used is not known here."
USE = """\
```bash
pip install 'mien[hub]'
mien predict photo.jpg --model {where}
```

```python
import mien

mien.load("{where}").read("photo.jpg")  # calibrated probabilities, without torch
mien.from_pretrained("{where}")  # a torch module: images (B, C, H, W) -> logits (B, K)
```"""
ELSEWHERE = {
    "transformers": "transformers.AutoModelForImageClassification.from_pretrained({name}{revision})",
    "timm": "timm.create_model({timm}, pretrained=True)",
}


def readme(
    network: Network, repository: str, *, licence: str | None, architecture: str, reader: str = "",
    base_model: str | None = None, dataset: str | None = None, revision: str | None = None,
) -> str:  # fmt: skip
    """The card as markdown with YAML before it.

    repository: OWNER/NAME. licence: the hub's word for it, such as 'apache-2.0'; None where nobody said it.
    architecture: the network's name. reader: a library that reads the weights besides mien, 'transformers' or 'timm'.
    base_model, dataset: ids on the hub. revision: a branch other than the main one.
    """
    from huggingface_hub import ModelCardData

    name = repository.partition("/")[2]
    words = dict.fromkeys(["mien", TASK, "onnx", "safetensors", reader, architecture.replace(":", "-")])
    if has_expressions(network.labels):
        words |= dict.fromkeys(["facial-expression-recognition", "emotion-recognition"])
    results = list(_results(network.card or {}, dataset))
    about = ModelCardData(
        license=licence or "unknown",
        library_name=MINE,
        pipeline_tag=TASK,
        tags=[word for word in words if word],
        base_model=base_model,
        datasets=[dataset] if dataset else None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=name,
        eval_results=results or None,
    )
    parts = [
        f"---\n{about.to_yaml()}\n---",
        model_card(network, name).rstrip(),
        "## How to use it\n\n" + _use(network, repository, reader, revision),
        "## Licence\n\n" + _licence(licence, network.card or {}),
    ]
    return "\n\n".join(parts) + "\n"


def _results(card: dict[str, Any], dataset: str | None) -> Iterator[EvalResult]:
    """What the card says of validation, and of the test split where it was read; nothing where nothing was judged."""
    from huggingface_hub import EvalResult

    source = str(card.get("data") or "")
    kind = dataset or source.rpartition(":")[2] or "unknown"
    clean, test = card.get("clean") or {}, card.get("test") or {}
    known = [
        ("validation", "accuracy", "Accuracy", card.get("validation_accuracy")),
        ("validation", "accuracy", "Accuracy on images without a copy in train", clean.get("accuracy")),
        ("validation", "f1", "Macro F1", card.get("macro_f1")),
        ("validation", "ece", "Expected calibration error (15 bins)", card.get("calibration_error")),
        ("test", "accuracy", "Accuracy", test.get("accuracy")),
        ("test", "f1", "Macro F1", test.get("macro_f1")),
    ]
    for split, metric, name, value in known:
        if value is not None and value == value:  # nan, of no images
            yield EvalResult(
                task_type=TASK, task_name="Image classification", dataset_type=kind,
                dataset_name=DATASETS.get(source, dataset or "Pictures of its owner's"), dataset_split=split,
                metric_type=metric, metric_name=name, metric_value=round(float(value), 4),
            )  # fmt: skip


def _use(network: Network, repository: str, reader: str, revision: str | None) -> str:
    where = HUB + repository + (f"@{revision}" if revision else "")
    text = USE.format(where=where)
    if not reader:
        return text
    given = f', revision="{revision}"' if revision else ""
    call = ELSEWHERE[reader].format(name=f'"{repository}"', revision=given, timm=f'"{where}"')
    return (
        f"{text}\n\n{reader} reads the same weights, and its logits are those of `mien.from_pretrained`; divided by "
        f"{network.temperature:.3f} they give calibrated probabilities:\n\n"
        f"```python\nimport {reader}\n\n{call}\n```"
    )


def _licence(licence: str | None, card: dict[str, Any]) -> str:
    own = f"`{licence}`." if licence else NO_LICENCE
    return own if card.get("data") in ("fer2013", "drawn_faces") else f"{own} {OF_DATA}"
