"""Whether an explanation can be believed: does the model need what the map shows, and does the map need the model?

Three tests, none of which asks a person whether the picture looks right:
- deletion and insertion (Petsiuk et al., arXiv 1806.07421), against random maps;
- the pointing game (Zhang et al., arXiv 1608.00507), where it is known what ought to matter;
- the sanity check (Adebayo et al., arXiv 1810.03292): maps of a model with random weights must be others.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mien.explain.attribution import Maps, attribute, is_empty
from mien.explain.capture import evaluating, network_of
from mien.explain.targets import images_for, targets_of
from mien.intervals import wilson

Method = str | Callable[[nn.Module, Tensor], Maps]  # a name, or a function of a model and scaled images (B, C, H, W)

SHARES = np.linspace(0, 1, 25)  # of the pixels, in 24 steps
NOTICEABLE = 0.01  # difference of two areas, 0 to 1, below which they are said to be the same
RANDOM_MAPS = 8  # that the map of a single image is compared with
UNCHANGED = 0.5  # rank correlation above which a map is said not to depend on the weights


@dataclass(frozen=True)
class Curves:
    """The target's probability while pixels go or come: probabilities (B, steps + 1) at shares (steps + 1,)."""

    shares: np.ndarray
    probabilities: np.ndarray

    @property
    def areas(self) -> np.ndarray:
        """Area under each curve, 0 to 1, (B,)."""
        heights = (self.probabilities[:, 1:] + self.probabilities[:, :-1]) / 2
        return np.asarray(heights @ np.diff(self.shares))


@dataclass(frozen=True)
class Against:
    """Mean areas over the images: of the maps and of random ones; how much better the maps are, with its 95 % interval.

    better is above 0 where the maps do better: a smaller area in deletion, a larger one in insertion. interval: None
    where one image was measured, against several random maps.
    """

    area: float
    random: float
    better: float
    interval: tuple[float, float] | None = None

    @property
    def beats_random(self) -> bool:
        return self.better >= NOTICEABLE if self.interval is None else self.interval[0] > 0


@dataclass(frozen=True)
class Verdict:
    """How far the maps of a method can be believed; as text, `str(verdict)`.

    images: how many were measured; empty: how many of their maps say nothing. deletion, insertion: against random maps.
    correlation: Spearman's rank correlation with the maps of the same model with shuffled weights, -1 to 1. Each is
    None where it was not measured.
    """

    images: int
    deletion: Against | None = None
    insertion: Against | None = None
    correlation: float | None = None
    empty: int = 0

    @property
    def flagged(self) -> bool:
        """Whether the maps stay the same when the weights are shuffled, and so tell nothing of what was learned."""
        return self.correlation is not None and self.correlation > UNCHANGED

    def __str__(self) -> str:
        if self.empty == self.images:
            return "Empty: the map is the same everywhere, so there is nothing in it to see."
        if self.correlation is not None and self.flagged:
            return (
                "Does not depend on what the model learned: with shuffled weights the map stays the same (rank "
                f"correlation {self.correlation:.2f}). Do not believe it."
            )
        if self.deletion is None or self.insertion is None:
            return f"Depends on what the model learned (rank correlation with shuffled weights {self.correlation:.2f})."
        won = [name for name in ("deletion", "insertion") if getattr(self, name).beats_random]
        if len(won) == 2:
            return "Holds: better than random maps in deletion and in insertion."
        if won:
            return f"In doubt: better than random maps in {won[0]} only."
        return "No better than random maps: do not read anything into it."


@dataclass(frozen=True)
class PointingGame:
    """How often the maps' highest point lies in the mask, and its 95 % interval (Wilson).

    random: what a point drawn at random hits. fixed: what the best fixed point hits, chosen on every other image and
    scored on the rest.
    """

    images: int
    hits: float
    interval: tuple[float, float]
    random: float
    fixed: float


def deletion(model: nn.Module, images: Any, maps: Maps, targets: Any = None, temperature: float = 1.0) -> Curves:
    """The target's probability while the image is blurred pixel by pixel, the highest of the map first.

    images: scaled (B, C, H, W). maps: (B, H, W). targets: see `attribute`. temperature: at which
    the probabilities are calibrated. A faithful map makes it fall fast.
    """
    inputs = images_for(model, images)
    return _curves(model, inputs, blurred(inputs), maps, _classes(model, inputs, targets), temperature)


def insertion(model: nn.Module, images: Any, maps: Maps, targets: Any = None, temperature: float = 1.0) -> Curves:
    """The target's probability while a blurred image becomes sharp, the highest of the map first; see `deletion`."""
    inputs = images_for(model, images)
    return _curves(model, blurred(inputs), inputs, maps, _classes(model, inputs, targets), temperature)


def against_random(model: nn.Module, images: Any, maps: Maps, seed: int = 0, targets: Any = None) -> Verdict:
    """Deletion and insertion of the maps against one random map an image, paired, with bootstrap intervals.

    Arguments as of `deletion`. Random maps are smooth, so that they take connected regions, as the maps of methods do.
    """
    inputs = images_for(model, images)
    classes = _classes(model, inputs, targets)
    chance = smooth_noise(maps.shape, seed)
    gone, gone_random = (deletion(model, inputs, order, classes).areas for order in (maps, chance))
    come, come_random = (insertion(model, inputs, order, classes).areas for order in (maps, chance))
    return Verdict(
        len(inputs),
        deletion=_against(gone, gone_random, gone_random - gone, seed),
        insertion=_against(come, come_random, come - come_random, seed),
        empty=sum(map(is_empty, maps)),
    )


def judge(
    model: nn.Module, images: Any, values: np.ndarray, method: str, target: int, temperature: float = 1.0
) -> Verdict:
    """The verdict on a method's map of one image: deletion and insertion against random maps, and shuffled weights.

    images: the scaled image (1, C, H, W). values: its map (H, W), which explains the class `target`. temperature: at
    which the probabilities are calibrated.
    """
    if is_empty(values):
        return Verdict(1, empty=1)
    inputs = images_for(model, images)
    several = inputs.expand(1 + RANDOM_MAPS, -1, -1, -1)  # for the method's own map, then random ones
    maps = np.concatenate([values[None], smooth_noise((RANDOM_MAPS, *values.shape), seed=0)])
    gone = deletion(model, several, maps, target, temperature).areas
    come = insertion(model, several, maps, target, temperature).areas
    random_gone, random_come = float(gone[1:].mean()), float(come[1:].mean())
    return Verdict(
        1,
        deletion=Against(float(gone[0]), random_gone, random_gone - float(gone[0])),
        insertion=Against(float(come[0]), random_come, float(come[0]) - random_come),
        correlation=sanity_check(model, inputs, method, draws=2).correlation,
    )


def pointing_game(maps: Maps, masks: np.ndarray, sigma: float = 0.0) -> PointingGame:
    """How often the highest point of a map is evidence.

    maps: (B, H, W), B at least 2. masks: bool (B, H, W), where the evidence is known to lie. sigma: of the Gaussian
    that smooths the maps first, in pixels; 0 takes them as they are. The highest of many single pixels is as much
    noise as evidence; a width of about the evidence's own asks instead where most of it lies together.
    """
    places = smoothed(maps, sigma).reshape(len(maps), -1).argmax(axis=1)  # (B, H, W) -> (B, H*W) -> (B,)
    inside = masks.reshape(len(masks), -1)  # (B, H, W) -> (B, H*W)
    hits = inside[np.arange(len(maps)), places]
    best = inside[::2].mean(axis=0).argmax()
    return PointingGame(
        images=len(maps),
        hits=float(hits.mean()),
        interval=wilson(int(hits.sum()), len(hits)),
        random=float(inside.mean()),
        fixed=float(inside[1::2, best].mean()),
    )


def sanity_check(model: nn.Module, images: Any, method: Method, seed: int = 0, draws: int = 3) -> Verdict:
    """Compare the maps of the model with those of `draws` models whose parameters are shuffled, each within itself.

    Shuffling keeps how large the weights are and undoes all that was learned. The same classes are explained before
    and after. images: scaled (B, C, H, W), a few dozen.
    """
    inputs = images_for(model, images)
    classes = _classes(model, inputs)
    maps = _maps(model, inputs, method, classes)
    found = []
    for draw in range(draws):
        others = _maps(shuffled(model, seed + draw), inputs, method, classes)
        found += [rank_correlation(one, other) for one, other in zip(maps, others, strict=True)]
    return Verdict(len(inputs), correlation=float(np.mean(found)))


def smoothed(maps: Maps, sigma: float) -> Maps:
    """Maps (B, H, W) under a Gaussian of sigma pixels; as they are where sigma is 0."""
    if not sigma:
        return maps
    return _gaussian(torch.from_numpy(maps)[:, None], sigma, reach=3)[:, 0].numpy()


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's, of two arrays of one shape; equal numbers share their mean rank.

    A flat array has no ranks: 1 where both arrays are the same, else 0.
    """
    ranks = []
    for values in (one, other):
        _, place, count = np.unique(values, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(count) - (count - 1) / 2)[place.ravel()])
    if any(rank.min() == rank.max() for rank in ranks):
        return float(np.array_equal(one, other))
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def smooth_noise(shape: tuple[int, ...], seed: int) -> Maps:
    """Random maps (B, H, W) of blobs about a quarter of the side wide.

    Pixels that change one by one all over the image disturb a model less than blobs do (mean area under deletion of a
    CNN on 42 drawn faces: 0.64 against 0.59), so blobs are the harder ones to beat.
    """
    noise = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return blurred(torch.from_numpy(noise)[:, None])[:, 0].numpy()


def shuffled(model: nn.Module, seed: int) -> nn.Module:
    """A copy of the model in which the numbers of each parameter have changed places."""
    generator = torch.Generator().manual_seed(seed)
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in network_of(copied).parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return copied


def blurred(images: Tensor) -> Tensor:
    """Images (B, C, H, W) with nothing left in them that is smaller than about a quarter of the side."""
    return _gaussian(images, images.shape[-1] / 8, reach=1.5)


def _curves(model: nn.Module, start: Tensor, end: Tensor, maps: Maps, classes: Tensor, temperature: float) -> Curves:
    B, _, H, W = start.shape
    with torch.no_grad(), evaluating(model):
        ranks = torch.from_numpy(_ranks(maps)).to(start.device)  # (B, H, W): 0 for the pixel that changes first
        counts = torch.from_numpy(np.round(SHARES * H * W)).to(start.device)
        curves = []
        for image in range(B):
            changed = ranks[image] < counts[:, None, None]  # (steps, H, W)
            steps = torch.where(changed[:, None], end[image], start[image])  # (steps, C, H, W)
            curves.append(_probabilities(model, steps, temperature)[:, classes[image]])
    return Curves(SHARES, torch.stack(curves).cpu().numpy())


def _ranks(maps: Maps) -> np.ndarray:
    """Place of each pixel in the order from the highest to the lowest, (B, H, W); equal ones in the order of blobs.

    Row by row, equal pixels would go from the top, which is no random order.
    """
    flat, blobs = (each.reshape(len(maps), -1) for each in (maps, smooth_noise(maps.shape, 0)))  # (B, H*W)
    order = np.stack([np.lexsort((blob, -one)) for one, blob in zip(flat, blobs, strict=True)])
    return order.argsort(axis=1).reshape(maps.shape)  # (B, H*W) -> (B, H, W)


def _gaussian(images: Tensor, sigma: float, reach: float) -> Tensor:
    """Images (B, C, H, W) blurred; the kernel ends at `reach` times sigma."""
    from kornia.filters import gaussian_blur2d

    kernel = 2 * round(reach * sigma) + 1
    return gaussian_blur2d(images, (kernel, kernel), (sigma, sigma), border_type="reflect")


def _classes(model: nn.Module, images: Tensor, targets: Any = None) -> Tensor:
    with torch.no_grad(), evaluating(model):
        return targets_of(_probabilities(model, images), targets)


def _probabilities(model: nn.Module, images: Tensor, temperature: float = 1.0) -> Tensor:
    return (torch.cat([model(part) for part in images.split(256)]).float() / temperature).softmax(dim=1)


def _against(areas: np.ndarray, random: np.ndarray, better: np.ndarray, seed: int) -> Against:
    drawn = np.random.default_rng(seed).integers(len(better), size=(2000, len(better)))
    low, high = np.quantile(better[drawn].mean(axis=1), (0.025, 0.975))
    return Against(float(areas.mean()), float(random.mean()), float(better.mean()), (float(low), float(high)))


def _maps(model: nn.Module, images: Tensor, method: Method, classes: Tensor) -> Maps:
    if callable(method):
        return np.asarray(method(model, images))
    return attribute(model, images, method, classes)
