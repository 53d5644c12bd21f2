"""Distillation: a student learns from the answers of trained networks beside the labels.

Hinton et al., "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531): soft answers at a temperature.
Touvron et al., DeiT (arXiv 2012.12877): hard answers, and a token of their own for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien import labels, plugins, pretrained
from mien.atomic import read_arrays, write_arrays
from mien.config import Recipe
from mien.data.store import Store
from mien.errors import DataError, UsageError
from mien.models import accepts
from mien.pretrained import Classifier
from mien.pretrained.own import from_checkpoint
from mien.progress import track
from mien.runs import layout, manifest
from mien.runtime.network import Network, is_export
from mien.words import count


class ExportedNetwork(nn.Module):
    """An exported network as a module, in fp32: onnxruntime on the CPU; elsewhere torch, where the file opens there.

    It reads pictures of one size. processes: how many ask at the same time and share the cores.
    """

    def __init__(self, where: str, processes: int = 1) -> None:
        super().__init__()
        self.where = where
        self.network = Network.open(where, max(1, torch.get_num_threads() // processes))
        self.labels, self.preprocessing = self.network.labels, self.network.preprocessing

    def forward(self, inputs: Tensor) -> Tensor:
        """Scaled pixels (B, C, H, W) -> logits (B, K)."""
        if inputs.device.type != "cpu" and (opened := self.in_torch):
            with torch.autocast(inputs.device.type, enabled=False):
                return opened.to(inputs.device)(inputs.float())
        return torch.from_numpy(self.network.run(inputs.float().numpy(force=True))).to(inputs.device)

    @cached_property
    def in_torch(self) -> Classifier | None:
        """The network as a torch module; None of an export of mien 0.1.0, which does not say what it holds."""
        try:
            return pretrained.from_pretrained(self.where).requires_grad_(False)
        except DataError:
            return None


class Teacher:
    """One or several trained networks that answer together; they see the pixels that the student sees.

    No nn.Module, so that a task that asks it neither keeps its weights in checkpoints nor puts it into training mode.

    To those that read whole images only, exports and most ViTs, random crops are continued by their edges, which
    costs them little (log/2026-11-22-teachers-see-crops-continued-by-edges.md). Raises UsageError when a teacher was
    trained on images of another size or colour or has no classes to answer with, DataError when it has other ones.
    """

    def __init__(self, recipe: Recipe, classes: Sequence[str]) -> None:
        self.settings = recipe.distill
        networks = nn.ModuleList([_network(source, recipe) for source in recipe.distill.teachers])
        self.networks = networks.eval().requires_grad_(False)
        # Column of the teacher's answer that means the student's class.
        self.columns = [
            _columns(source, cast(Any, network).labels, classes)
            for source, network in zip(recipe.distill.teachers, self.networks, strict=True)
        ]
        crop = recipe.augment.crop
        self.read_crops = [
            crop > 0 and isinstance(network, Classifier) and accepts(network, recipe.data.channels, crop)
            for network in self.networks
        ]
        for network in self.networks:  # a model of one's own may .view() what a convolution gives
            if isinstance(network, Classifier) and not plugins.is_code(network.name):
                # faster: log/2026-11-21-teachers-that-see-the-students-pixels.md
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def fingerprints(self) -> dict[str, str]:
        """Source -> fingerprint of its network, sha256."""
        return {source: _fingerprint(each) for source, each in zip(self.settings.teachers, self.networks, strict=True)}

    def to(self, device: torch.device | str) -> Teacher:
        """Move the networks to where the student is."""
        self.networks.to(device)
        return self

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Pixels 0..1 (B, C, H, W) -> the teachers' mean probabilities at the temperature (B, K)."""
        known = zip(self.networks, self.columns, self.read_crops, strict=True)
        answers = [self._answer(network, columns, pixels, crops) for network, columns, crops in known]
        return torch.stack(answers).mean(dim=0)  # T x (B, K) -> (B, K)

    def loss(self, logits: Tensor, answers: Tensor) -> Tensor:
        """How far the student's logits (B, K) are from the teachers' answers (B, K); a scalar.

        soft: T^2 KL(answers || softmax(logits / T)), the factor keeping the gradients' size (1503.02531, section 2).
        hard: cross-entropy with the most probable class (2012.12877, equation 3).
        """
        if self.settings.kind == "hard":
            return F.cross_entropy(logits, answers.argmax(dim=1))
        temperature = self.settings.temperature
        own = F.log_softmax(logits / temperature, dim=1)
        return F.kl_div(own, answers, reduction="batchmean") * temperature**2

    def _answer(self, network: nn.Module, columns: list[int], pixels: Tensor, reads_crops: bool) -> Tensor:
        preprocessing = cast(Any, network).preprocessing
        seen = pixels if reads_crops else _continued(pixels, preprocessing.size)
        logits = network(preprocessing.scale(seen)).float()[:, columns]  # other classes take no share of the answer
        return (logits / self.settings.temperature).softmax(dim=1)


def with_answers(store: Store, recipe: Recipe, device: str, folder: Path) -> Store:
    """The store with labels and the teachers' answers mixed by `distill.weight` as soft labels of train (N, K).

    Teachers are asked once: their answers stay in `folder`, for the run's other processes and for its resumption.
    """
    train, path = store.indices("train"), folder / layout.TEACHERS_ANSWERS
    if not path.is_file():
        answers = _ask(Teacher(recipe, store.classes), store, train, recipe.augment.hflip > 0, device)
        with manifest.changing(folder, layout.TEACHERS_ANSWERS):
            write_arrays(path, answers=answers)
    again = f"delete it, then `mien.resume({str(folder)!r})`"
    manifest.check(folder, layout.TEACHERS_ANSWERS, f"Write it anew: {again}")
    with read_arrays(path, again) as saved:
        answers = saved["answers"]
    hard = np.eye(len(store.classes), dtype=np.float32)[store.labels]  # (N,) -> (N, K)
    targets = hard if store.soft_labels is None else store.soft_labels.copy()
    targets[train] += recipe.distill.weight * (answers - targets[train])
    return replace(store, soft_labels=targets)


@torch.no_grad()
def _ask(teacher: Teacher, store: Store, images: np.ndarray, mirrored: bool, device: str) -> np.ndarray:
    """The answers (n, K) to images as they are, or the mean of those to them and to their mirror images."""
    teacher = teacher.to(device)
    parts = np.array_split(images, max(1, len(images) // 256))
    found = []
    for part in track(parts, "Asking the teachers", len(parts)):
        pixels = torch.from_numpy(store.images[part]).to(device).float() / 255
        answers = teacher(pixels)
        if mirrored:
            answers = (answers + teacher(pixels.flip(-1))) / 2
        found.append(answers.cpu().numpy())
    return np.concatenate(found)


def two_answers(model: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (B, K) to hold against the labels and logits to hold against the teachers.

    Of a ViT with a distillation token the class token's and the distillation token's; else the same ones twice.
    """
    network = cast(Any, model)
    if getattr(model, "head_dist", None) is None:
        logits = model(inputs).float()
        return logits, logits
    tokens = network.forward_head(network.forward_features(inputs), pre_logits=True)  # (B, 2, D)
    return network.head(tokens[:, 0]).float(), network.head_dist(tokens[:, 1]).float()


def _continued(images: Tensor, size: int) -> Tensor:
    """Random crops (B, C, h, w) as whole images (B, C, size, size), beyond whose borders the last pixels go on."""
    missing = size - images.shape[-1]
    first, last = missing // 2, missing - missing // 2
    return F.pad(images, (first, last, first, last), mode="replicate") if missing else images


def _fingerprint(network: nn.Module) -> str:
    if isinstance(network, ExportedNetwork):
        return (network.network.card or {})["fingerprint"]
    digest = hashlib.sha256()
    for name, values in network.state_dict().items():
        digest.update(name.encode() + values.numpy(force=True).tobytes())
    return digest.hexdigest()


def _columns(source: str, answers: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Where in a teacher's answer each class stands."""
    try:
        return labels.match(list(classes), answers)
    except DataError as error:
        raise DataError(f"distill.teachers: {source} answers {', '.join(answers)}. {error}") from error


def _network(source: str, recipe: Recipe) -> nn.Module:
    network = ExportedNetwork(source, recipe.train.processes) if is_export(source) else _classifier(source)
    given = (network.preprocessing.size, network.preprocessing.channels)
    if given != (recipe.data.size, recipe.data.channels):
        raise UsageError(
            f"distill.teachers: {source} was trained on {given[0]} pixels and {count(given[1], 'channel')}, this run "
            f"has {recipe.data.size} and {recipe.data.channels}. Set `data.size` and `data.channels` to the teacher's."
        )
    return network


def _classifier(source: str) -> Classifier:
    checkpoint = pretrained.read(source)
    if not checkpoint.sizes["num_classes"]:
        raise UsageError(f"distill.teachers: {source} has no head, so it answers nothing. Take a run that has classes.")
    if not checkpoint.labels:
        raise UsageError(
            f"distill.teachers: {source} does not name its classes, so its answers cannot be matched with this run's. "
            "Take a run, or a folder that save_pretrained wrote."
        )
    return from_checkpoint(checkpoint)
