"""A trained model and a picture -> everything there is to see, as NumPy arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mien.errors import DataError, MienError, MissingError, UsageError
from mien.errors import nearest as nearest_name
from mien.evaluate.training_pictures import TrainingPicture, nearest_training
from mien.explain import attention, position
from mien.explain.attribution import attribute, is_empty, methods_of, require_method
from mien.explain.capture import Trace, capture, evaluating
from mien.explain.faithfulness import Verdict, judge
from mien.explain.features import feature_maps, first_filters
from mien.explain.targets import images_for, targets_of
from mien.explain.walk import walk
from mien.labels import canonical
from mien.models.protocol import Step, Tokens
from mien.pictures import IMAGE_SUFFIXES, open_image
from mien.pretrained import Classifier
from mien.progress import note

ImageLike = str | Path | Image.Image | np.ndarray


@dataclass(frozen=True, eq=False)
class Explanation:
    """How one picture becomes a prediction. What a model does not have is None, or empty.

    Shapes: C colours, S = the side of the model's input, K classes, h heads, N tokens (prefix tokens first, then g x g
    patches row by row).

    Attributes:
        image: The picture as the model saw it, uint8 (C, S, S).
        labels: K names.
        probabilities: Of each class, float32 (K,).
        target: The class that `maps` explain: the predicted one unless another was asked for.
        walk: The steps from the image to the probabilities, each with its shape.
        filters: The first layer's, float32 (filters, C, k, k).
        feature_maps: Of a CNN, float32 (maps, h, w): the first convolution's and each stage's, by name.
        tokens: Of a ViT: prefix tokens, grid, patch size, pooling.
        attention_logits: Of a ViT with exact attention, float32 (layers, h, N, N): before the softmax.
        attention: The same after it: rows (queries) sum to 1.
        positions: Of a ViT, (g, g, g, g): [i, j] holds the cosine similarities of patch (i, j)'s position with all.
        recovered: What learned positions know of the grid, untrained and trained.
        maps: By method, float32 (S, S): higher where a pixel speaks more for the target.
        verdicts: By method, how far its map can be believed.
        notes: What was done to the picture that a person might not expect.
        temperature: At which the probabilities are calibrated; None: the network's own.
        nearest: Of a run, the training pictures whose features are most like this one's, the nearest first.
    """

    image: np.ndarray
    labels: tuple[str, ...]
    probabilities: np.ndarray
    target: int
    walk: tuple[Step, ...]
    filters: np.ndarray | None
    feature_maps: dict[str, np.ndarray]
    tokens: Tokens | None
    attention_logits: np.ndarray | None
    attention: np.ndarray | None
    positions: np.ndarray | None
    recovered: tuple[position.RecoveredGrid, position.RecoveredGrid] | None
    maps: dict[str, np.ndarray]
    verdicts: dict[str, Verdict]
    notes: tuple[str, ...] = ()
    temperature: float | None = None
    nearest: tuple[TrainingPicture, ...] = ()

    @property
    def label(self) -> str:
        """The name of the most probable class."""
        return self.labels[int(self.probabilities.argmax())]

    @property
    def empty(self) -> tuple[str, ...]:
        """The methods whose map says nothing: it is the same everywhere."""
        return tuple(name for name, values in self.maps.items() if is_empty(values))

    def attention_from(self, patch: tuple[int, int] | None = None, raw: bool = False) -> np.ndarray:
        """Where a patch looks: what it attends to in each patch of the picture, (layers, h, g, g).

        patch: its row and column, from 0. None for the class token; without one, or where the head does not read it,
        the mean of all patches. raw: the logits, before the softmax. What goes to prefix tokens is left out.
        Raises UsageError for a CNN, approximate attention, or a patch outside the grid.
        """
        values, tokens = self.attention_logits if raw else self.attention, self.tokens
        if values is None or tokens is None:
            raise UsageError("This model has no attention weights. Take a Vision Transformer with attention 'exact'.")
        g, first = tokens.grid, tokens.prefix
        if patch is not None:
            row, column = patch
            if not (0 <= row < g and 0 <= column < g):
                raise UsageError(
                    f"Patch {tuple(patch)} is not one of the {g} x {g}: rows and columns go from 0 to {g - 1}."
                )
            rows = values[:, :, first + row * g + column]  # (layers, h, N, N) -> (layers, h, N)
        else:
            rows = values[:, :, 0] if tokens.pool == "token" else values[:, :, first:].mean(axis=2)
        return rows[:, :, first:].reshape(*rows.shape[:2], g, g)  # (layers, h, N) -> (layers, h, g, g)


def explain(
    model: Classifier,
    image: ImageLike,
    methods: Sequence[str] | None = None,
    target: str | int | None = None,
    *,
    verdicts: bool = True,
    temperature: float | None = None,
    run: Path | None = None,
    nearest: int = 5,
) -> Explanation:
    """Open a trained model up and follow one picture through it.

    model: what `mien.from_pretrained` gives. image: a path, a PIL image, or a uint8 array (H, W) or (H, W, 3); of an
    animation, the first frame; all of it is explained, see `mien.explain.study` for one face. methods: names out of
    `methods_of(model)`, None for all. target: the class to explain, by name or number; None for the predicted one.
    verdicts: also measure how far each map can be believed, which takes most of the time. temperature: what the logits
    are divided by; None leaves them as they are. run: the model's run folder; so many of its training pictures are
    looked for as `nearest` says, where its images are still there.
    Raises UsageError for what is no Classifier, a method or class it does not have; MissingError and DataError for a
    picture that is not there or cannot be read.
    """
    if not isinstance(model, Classifier):
        raise UsageError(f"explain takes a Classifier, not {type(model).__name__}: mien.from_pretrained('RUN') is one.")
    picture, notes = _open(image)
    pixels = model.preprocessing.pixels(picture)
    images = images_for(model, model.preprocessing.scale(pixels.astype(np.float32) / 255)[None])  # (1, C, S, S)
    with torch.no_grad(), evaluating(model), capture(model) as trace:
        logits = model(images)
    near, more = _nearest(run, model, pixels, nearest)
    wanted = targets_of(logits, _class(model, target))
    chosen = list(methods_of(model) if methods is None else methods)
    for name in chosen:  # a wrong one is said before the minutes that the others take
        require_method(model, name)
    found = Explanation(
        image=pixels,
        labels=model.labels,
        probabilities=(logits[0] / (temperature or 1.0)).softmax(dim=0).float().cpu().numpy(),
        target=int(wanted[0]),
        walk=walk(model, trace),
        maps={},
        verdicts={},
        notes=(*notes, *more),
        temperature=temperature,
        nearest=near,
        **_inside(model, trace),
    )
    for number, name in enumerate(chosen, start=1):
        found.maps[name] = attribute(model, images, name, wanted)[0]
        if verdicts:
            note(f"{number} of {len(chosen)}: {name}, whether to believe its map")
            found.verdicts[name] = judge(model, images, found.maps[name], name, found.target, temperature or 1.0)
    return found


def seen(model: Classifier, image: ImageLike) -> np.ndarray:
    """Return what a model sees of a picture, uint8 (C, S, S). Raises as `explain` does for the picture."""
    return model.preprocessing.pixels(_open(image)[0])


def _nearest(
    run: Path | None, model: Classifier, pixels: np.ndarray, count: int
) -> tuple[tuple[TrainingPicture, ...], tuple[str, ...]]:
    """The nearest training pictures, and what is to be noted of them."""
    if run is None or not count:
        return (), ()
    try:
        found, label = nearest_training(run, model, pixels, count)
    except MienError as error:  # everything else can be explained without them
        return (), (f"There are no nearest training pictures: {error}",)
    own = f"This very picture is one of the training pictures, labelled {label}; below are others."
    return found, (own,) if label else ()


def _inside(model: Classifier, trace: Trace) -> dict[str, Any]:
    """What there is to see of the model itself, by field of Explanation."""
    filters = first_filters(model)
    if not attention.has_tokens(model):
        nothing = dict.fromkeys(("tokens", "attention", "attention_logits", "positions", "recovered"))
        return {"filters": filters, "feature_maps": feature_maps(model, trace), **nothing}
    return {
        "filters": filters,
        "feature_maps": {},
        "tokens": attention.tokens_of(model),
        "positions": None if getattr(model.model, "pos_embed", None) is None else position.similarities(model),
        "recovered": _recovered(model),
        "attention": _stacked(trace.attention_weights),
        "attention_logits": _stacked(trace.attention_logits),
    }


def _recovered(model: Classifier) -> tuple[position.RecoveredGrid, position.RecoveredGrid] | None:
    if not position.learns_positions(model):
        return None
    return position.recovered_grid(position.untrained(model)), position.recovered_grid(model)


def _stacked(layers: list[Tensor]) -> np.ndarray | None:
    """One (1, h, N, N) a layer -> (layers, h, N, N); None of approximate attention, which has no weights."""
    return torch.cat(layers).float().cpu().numpy() if layers else None


def _open(image: ImageLike) -> tuple[Image.Image, tuple[str, ...]]:
    """The picture, and a note where it is the first of several."""
    if isinstance(image, str | Path):
        path = Path(os.path.expanduser(image))
        if not path.exists():
            beside = [str(found) for found in path.parent.glob("*") if found.name.lower().endswith(IMAGE_SUFFIXES)]
            raise MissingError(f"{path}: there is no such picture.{nearest_name(str(path), beside)}")
        picture = open_image(path)
        with Image.open(path) as file:
            return picture, _note(file)
    if isinstance(image, Image.Image):
        return _first_frame(image), _note(image)
    fits = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.size > 0
    if not fits or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        what = f"An array {image.dtype} {image.shape}" if isinstance(image, np.ndarray) else f"A {type(image).__name__}"
        raise DataError(f"{what} is no picture. Give a path, a PIL image, or a uint8 array (H, W) or (H, W, 3).")
    return Image.fromarray(image), ()


def _note(image: Image.Image) -> tuple[str, ...]:
    several = getattr(image, "is_animated", False)
    return ("The file holds several pictures; the first one is explained.",) if several else ()


def _first_frame(image: Image.Image) -> Image.Image:
    if not getattr(image, "is_animated", False):
        return image
    shown = image.tell()
    image.seek(0)
    first = image.copy()
    image.seek(shown)  # the caller's image stays where it was
    return first


def _class(model: Classifier, target: str | int | None) -> int | None:
    if not isinstance(target, str):
        return target
    named = {canonical(label): position for position, label in enumerate(model.labels)}
    named |= {label: position for position, label in enumerate(model.labels)}
    position = named.get(target, named.get(canonical(target)))
    if position is None:
        raise UsageError(
            f"The model has no class '{target}'.{nearest_name(target, model.labels)} It has {', '.join(model.labels)}."
        )
    return position
