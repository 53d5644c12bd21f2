"""Batched augmentation: every image draws its own changes, from a stream keyed by seed, epoch and step.

The draws are made for the whole batch and then sliced, so that several processes sharing a batch see
exactly what one process would see. Geometry is one warp by one matrix per image; a recipe that only
mirrors its images skips the warp, which takes many times as long.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from kornia import enhance
from kornia.geometry.conversions import normalize_homography
from kornia.geometry.transform import get_affine_matrix2d
from torch import Tensor

from mien.config import Augment

Draws = dict[str, Tensor]

# RandAugment (arXiv 1909.13719), the operations that make sense in grey and in colour.
OPERATIONS = (
    *("identity", "rotate", "shear_x", "shear_y", "translate_x", "translate_y"),
    *("brightness", "contrast", "sharpness", "posterize", "solarize"),
)


def stream(*key: int) -> torch.Generator:
    """A random generator that depends on the key alone, such as (seed, epoch, step)."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


class Augmentation:
    """The changes of one recipe. Pixels are floats in 0..1, images (B, C, H, W)."""

    def __init__(self, settings: Augment, num_classes: int) -> None:
        self.settings = settings
        self.num_classes = num_classes

    def draw(self, batch: int, generator: torch.Generator) -> Draws:
        """Every random number that a batch needs; each tensor has `batch` rows."""
        s = self.settings

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            if low == high:  # a change that is off needs no number
                return torch.full((batch, *shape), float(low))
            return torch.rand(batch, *shape, generator=generator) * (high - low) + low

        draws = {
            "flip": torch.stack([uniform(0, 1) < s.hflip, uniform(0, 1) < s.vflip], dim=1),  # (B, 2)
            "angle": uniform(-s.rotate, s.rotate),
            "shear": uniform(-s.shear, s.shear, 2),
            "scale": uniform(*s.scale),
            "shift": uniform(-s.translate, s.translate, 2),
            "corner": uniform(0, 1, 2),
            "brightness": uniform(-s.brightness, s.brightness),
            "contrast": uniform(1 - s.contrast, 1 + s.contrast),
            "erase": uniform(0, 1) < s.erase,
            "erase_area": uniform(*s.erase_area),
            "erase_aspect": uniform(math.log(0.3), math.log(1 / 0.3)).exp(),
            "erase_corner": uniform(0, 1, 2),
            "operation": (uniform(0, 1, s.randaugment) * len(OPERATIONS)).long(),  # (B, n)
            "sign": uniform(-1, 1, s.randaugment).sign(),
        }
        if s.noise:  # each image its own seed, so that it does not matter which process makes its noise
            draws |= {"noise": uniform(0, s.noise), "noise_seed": torch.randint(2**31, (batch,), generator=generator)}
        if s.mixup or s.cutmix:
            draws |= self._draw_mix(batch, generator)
        return draws

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        """Images changed as drawn; (B, C, H, W), or (B, C, crop, crop) when the recipe crops."""
        s = self.settings
        warps = s.rotate or s.translate or s.shear or s.crop or s.randaugment or s.scale != (1.0, 1.0)
        if warps:
            side = s.crop or images.shape[-1]
            images = warp(images, self._matrix(images, draws), side)
        elif s.hflip or s.vflip:
            images = mirrored(images, draws["flip"])
        for slot in range(s.randaugment):
            images = self._photometric(images, draws["operation"][:, slot], draws["sign"][:, slot])
        if s.contrast:
            images = enhance.adjust_contrast(images, moved(draws["contrast"], images.device))
        if s.brightness:
            images = enhance.adjust_brightness(images, moved(draws["brightness"], images.device))
        if s.noise:
            images = noisy(images, draws["noise"], draws["noise_seed"])
        return self._erase(images, draws) if s.erase else images

    def mix(self, images: Tensor, labels: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Images mixed with their neighbour in the batch, and their targets (B, K), from labels (B,) or (B, K).

        Mixup (arXiv 1710.09412) blends two images, cutmix (arXiv 1905.04899) pastes a rectangle of one
        into the other; the targets are blended by the same share. Neighbours stay in one process.
        """
        soft = labels if labels.ndim == 2 else F.one_hot(labels, self.num_classes)
        targets = soft.to(images.dtype)
        if "share" not in draws:
            return images, targets
        partner = torch.arange(len(images), device=images.device) ^ 1  # 0 <-> 1, 2 <-> 3, ...
        partner = torch.where(partner < len(images), partner, partner - 1)
        keep = self._kept(images, draws)  # (B, 1, H, W)
        mixed = images * keep + images[partner] * (1 - keep)
        share = keep.mean(dim=(1, 2, 3))[:, None]  # (B, 1)
        return mixed, targets * share + targets[partner] * (1 - share)

    def _draw_mix(self, batch: int, generator: torch.Generator) -> Draws:
        s = self.settings
        mixed = torch.rand((), generator=generator) < s.mix_prob
        share_of_mixup = 1.0 if not s.cutmix else 0.0 if not s.mixup else 0.5
        mixup = bool(torch.rand((), generator=generator) < share_of_mixup)
        alpha = s.mixup if mixup else s.cutmix
        seed = int(torch.randint(2**31, (), generator=generator))
        pairs = (batch + 1) // 2
        share = torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, pairs)).float()
        corner = torch.rand(pairs, 2, generator=generator)
        whole = torch.ones(pairs) if not mixed else share
        return {
            "share": whole.repeat_interleave(2)[:batch],  # both of a pair share one number
            "mix_corner": corner.repeat_interleave(2, dim=0)[:batch],
            "by_mixup": torch.full((batch,), mixup),
        }

    def _kept(self, images: Tensor, draws: Draws) -> Tensor:
        share = moved(draws["share"], images.device)[:, None, None, None]  # (B, 1, 1, 1)
        if draws["by_mixup"][0]:
            return share.expand(-1, 1, *images.shape[2:])
        side = images.shape[-1]
        cut = (side * (1 - draws["share"]).sqrt()).round()[:, None].expand(-1, 2)  # (B, 2)
        start = (draws["mix_corner"] * (side - cut + 1)).floor()
        return 1 - moved(rectangles(start, cut, side), images.device).to(images.dtype)

    def _matrix(self, images: Tensor, draws: Draws) -> Tensor:
        """Each image's map from input to output pixels, (B, 3, 3): flip, scale, rotation, shear, shift, crop."""
        s = self.settings
        batch, side = len(images), images.shape[-1]
        angle, shear, shift = draws["angle"].clone(), draws["shear"].clone(), draws["shift"] * side
        for slot in range(s.randaugment):
            self._geometric(draws["operation"][:, slot], draws["sign"][:, slot] * s.magnitude / 10, angle, shear, shift)
        scale = draws["scale"][:, None] * torch.where(draws["flip"], -1.0, 1.0)  # (B, 1) x (B, 2) -> (B, 2)
        center = torch.full((batch, 2), (side - 1) / 2)
        radians = torch.deg2rad(shear)
        matrix = get_affine_matrix2d(shift, center, scale, angle, radians[:, 0], radians[:, 1])
        if s.crop:
            matrix[:, :2, 2] -= (draws["corner"] * (side - s.crop + 1)).floor()
        return matrix

    def _geometric(self, operation: Tensor, strength: Tensor, angle: Tensor, shear: Tensor, shift: Tensor) -> None:
        """Add RandAugment's geometric operations to the image's own matrix. strength: -1..1."""
        changes: tuple[tuple[str, Tensor, float], ...] = (
            ("rotate", angle, 30.0),  # degrees
            ("shear_x", shear[:, 0], 17.0),  # degrees, tan = 0.3
            ("shear_y", shear[:, 1], 17.0),
            ("translate_x", shift[:, 0], 6.0),  # pixels
            ("translate_y", shift[:, 1], 6.0),
        )
        for name, values, most in changes:
            values += torch.where(operation == OPERATIONS.index(name), strength * most, torch.zeros(()))

    def _photometric(self, images: Tensor, operation: Tensor, sign: Tensor) -> Tensor:
        """Apply each image's photometric RandAugment operation."""
        strength = self.settings.magnitude / 10
        images = images.clone()
        changes: dict[str, Callable[[Tensor, Tensor], Any]] = {
            "brightness": lambda x, sign: enhance.adjust_brightness(x, 0.4 * strength * sign),
            "contrast": lambda x, sign: enhance.adjust_contrast(x, 1 + 0.9 * strength * sign),
            "sharpness": lambda x, sign: enhance.sharpness(x, 0.9 * strength),
            "posterize": lambda x, sign: enhance.posterize(x, round(8 - 4 * strength)),
            "solarize": lambda x, sign: enhance.solarize(x, 1 - 0.9 * strength),
        }
        for name, change in changes.items():
            chosen = torch.nonzero(operation == OPERATIONS.index(name))[:, 0]
            if len(chosen):
                place, signs = moved(chosen, images.device), moved(sign[chosen], images.device)
                images[place] = change(images[place], signs).to(images.dtype)
        return images

    def _erase(self, images: Tensor, draws: Draws) -> Tensor:
        """Random erasing (arXiv 1708.04896): a rectangle is filled with the image's mean."""
        side = images.shape[-1]
        area = draws["erase_area"] * side**2 * draws["erase"]
        extent = torch.stack([(area * draws["erase_aspect"]).sqrt(), (area / draws["erase_aspect"]).sqrt()], dim=1)
        extent = extent.round().clamp(max=side)  # (B, 2): height and width
        start = (draws["erase_corner"] * (side - extent + 1)).floor()
        inside = moved(rectangles(start, extent, side), images.device)
        return torch.where(inside, images.mean(dim=(2, 3), keepdim=True), images)


def noisy(images: Tensor, deviation: Tensor, seeds: Tensor) -> Tensor:
    """Images (B, C, H, W) in 0..1 with Gaussian noise: a standard deviation (B,) and a seed (B,) for each."""
    fields = [torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
    noise = deviation[:, None, None, None] * torch.stack(fields)  # (B, C, H, W)
    return (images + moved(noise, images.device).to(images.dtype)).clamp(0, 1)


def mirrored(images: Tensor, flip: Tensor) -> Tensor:
    """Images (B, C, H, W) mirrored left-right and upside down where `flip`, bool (B, 2), says so."""
    for chosen, axis in ((flip[:, 0], 3), (flip[:, 1], 2)):
        if chosen.any():
            images = torch.where(moved(chosen, images.device)[:, None, None, None], images.flip(axis), images)
    return images


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device. From pinned memory, so that a GPU need not finish its queue first."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def warp(images: Tensor, matrix: Tensor, side: int) -> Tensor:
    """Images (B, C, H, W) seen through maps from input to output pixels (B, 3, 3) -> (B, C, side, side).

    What kornia's warp_affine computes; but the maps are inverted where they were drawn, as a GPU would have to
    finish its queue to tell whether they can be.
    """
    normalised = normalize_homography(matrix, (images.shape[2], images.shape[3]), (side, side))
    back = moved(torch.linalg.inv(normalised)[:, :2], images.device)  # (B, 3, 3) -> (B, 2, 3)
    grid = F.affine_grid(back, [len(images), images.shape[1], side, side], align_corners=True)  # (B, side, side, 2)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=True)


def rectangles(start: Tensor, extent: Tensor, side: int) -> Tensor:
    """True inside a rectangle per image. start, extent: (B, 2) as (y, x), pixels -> bool (B, 1, side, side)."""
    place = torch.arange(side)
    inside = (place >= start[..., None]) & (place < (start + extent)[..., None])  # (B, 2, side)
    return (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None]  # (B, side, side) -> (B, 1, side, side)
