"""Somebody's trained classifier -> a run, scored, compared, explained and shipped like one of mien's own.

Its network, the names of its classes and its preprocessing are kept as they are; nothing is trained.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from mien import hardware
from mien.atomic import DAMAGED
from mien.config import Data, Recipe
from mien.data import open_store, prepare
from mien.data.listing import SPLITS
from mien.errors import DataError, UsageError
from mien.evaluate.split import evaluate
from mien.labels import match
from mien.models import count_flops, count_parameters, create_model
from mien.models.onnx_file import OnnxFile
from mien.models.transformers_classifier import TransformersClassifier
from mien.preprocessing import DECODING, Preprocessing
from mien.pretrained import Classifier, foreign_onnx, hf_settings, read
from mien.pretrained.exchange import SECTION
from mien.pretrained.foreign import Foreign
from mien.pretrained.own import from_checkpoint, from_run, save_folder
from mien.pretrained.weight_files import locate, read_json, read_with_config
from mien.progress import note
from mien.runs import Env, layout, manifest
from mien.runs.data import anchored, note_images
from mien.runs.folder import is_without_data, read_env, read_recipe
from mien.runs.writing import filling, refuse_used, release, write_env, write_recipe
from mien.runtime.devices import CPU, check_device
from mien.runtime.network import is_export
from mien.runtime.seal import KEY
from mien.train.environment import facts_of

PIXELS = ("size", "channels", "fit", "interpolation", "resize_size", "rounding", "mean", "std")
UNNAMED = re.compile(r"(LABEL_)?\d+")  # transformers' names of classes that nobody named, and ours


def adopt(
    source: str | Path,
    out: Path | None = None,
    *,
    labels: Sequence[str] = (),
    output: str | None = None,
    data: Mapping[str, Any] | None = None,
    pixels: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a run of a trained classifier; with data, score it on their validation split. Returns the run folder.

    source: a folder, file or hub id of weights with a head (see `mien.from_pretrained`), an image classifier of
    transformers, or an .onnx file. labels: the names of its classes in the order of its outputs, where it does not say
    them, or says others. output: which one of an .onnx file's outputs counts. data: settings of a data section; images
    without a split of their own are all held out, as nothing is trained. pixels: size, channels, fit, interpolation,
    resize_size, mean, std of its input, where it does not say them.
    Raises UsageError for what must be said and is not, MissingError for what is not there, DataError for a source that
    is no such classifier, or data with a class that it does not know.
    """
    if out:
        refuse_used(out, overwrite)
    said = {**(data or {}), **{name: value for name, value in (pixels or {}).items() if value is not None}}
    pixels = {name: value for name, value in said.items() if name in PIXELS}
    data = {name: value for name, value in (data or {}).items() if name not in PIXELS}
    network = _named(_network(str(source), output, pixels), tuple(labels), str(source))
    network.preprocessing = _preprocessing(network.preprocessing, pixels)
    recipe = _recipe(network, str(source), data)
    with filling(recipe, out, overwrite) as filled:
        folder = filled.folder / layout.MODEL
        folder.mkdir()
        with manifest.changing(filled.folder, *layout.MODEL_FILES):
            save_folder(folder, network.model, network.name, network.sizes, network.labels, network.preprocessing)
        write_env(filled.folder, _environment(network, str(source)))
        if data:
            _meet(filled.folder, recipe)
    release(filled.place)
    return filled.place


def meet(run: Path, data: Mapping[str, Any], device: str = CPU) -> None:
    """Give an adopted run without data these data, and score it on their validation split.

    data: settings of a data section. device: a word of `mien.runtime.devices`, which computes the network. Raises
    UsageError for a run that has data of its own.
    """
    recipe = read_recipe(run)
    if not is_without_data(run):
        raise UsageError(f"{run} has data of its own. Adopt the network once more for others: `out` ANOTHER_FOLDER.")
    network = from_run(run)
    _meet(run, anchored(recipe.with_(data=_data(network.preprocessing, data))), device)


def _meet(run: Path, recipe: Recipe, device: str = CPU) -> None:
    check_device(device)
    store = open_store(recipe.data)
    env = read_env(run)
    facts, places = facts_of(store), match(store.classes, env.classes)  # data that do not fit change nothing
    write_recipe(run, recipe)
    counts = {split: _placed(numbers, places, len(env.classes)) for split, numbers in facts.counts.items()}
    write_env(run, replace(env, store=replace(facts, counts=counts)))
    note_images(run, store)
    evaluate(run, store=store, device=device)


def _placed(numbers: Sequence[int], places: Sequence[int], length: int) -> list[int]:
    """Numbers at their places among `length`, 0 elsewhere."""
    found = dict(zip(places, numbers, strict=True))
    return [found.get(place, 0) for place in range(length)]


def _network(source: str, output: str | None, pixels: Mapping[str, Any]) -> Classifier:
    """The network with what it says of its classes and its pixels."""
    if _is_foreign_onnx(source):
        return _of_onnx(Path(os.path.expanduser(source)), output, pixels)
    if output is not None:
        raise UsageError(f"`output` {output}: only an .onnx file has outputs to choose from.")
    if not is_export(source) and (config := _config(source)) and config.get("model_type") not in hf_settings.KINDS:
        return _of_transformers(source)
    checkpoint = read(source)
    if not checkpoint.sizes["num_classes"]:
        raise UsageError(f"{source} has no head, so it tells no classes apart. Train one: `model.init` {source}")
    return from_checkpoint(checkpoint)


def _is_foreign_onnx(source: str) -> bool:
    """Whether it is an .onnx file, and none of mien's."""
    path = Path(os.path.expanduser(source))
    return path.suffix == ".onnx" and path.is_file() and KEY not in foreign_onnx.metadata(path)


def _config(source: str) -> dict[str, Any]:
    """config.json of transformers, {} where there is none, or `mien push` wrote it."""
    path = locate(source)
    file = (path if path.is_dir() else path.parent) / "config.json"
    try:
        config = read_json(file) if file.is_file() else {}
    except DAMAGED as error:
        raise DataError(f"{file} cannot be read: {error}") from error
    return config if "model_type" in config and SECTION not in config else {}


def _of_onnx(path: Path, output: str | None, pixels: Mapping[str, Any]) -> Classifier:
    found = foreign_onnx.read(path, size=pixels.get("size"), channels=pixels.get("channels"), output=output)
    for change in found.changes:
        note(f"{path}: {change}")
    shape: dict[str, Any] = {"size": found.size, "channels": found.channels}
    if not {"mean", "std"} <= pixels.keys():
        raise UsageError(
            f"{path} does not say how its pixels are scaled. Give `mean` and `std` of pixels in 0..1: 0 and 1 leave "
            "them as they are, 0 and 0.00392 (1/255) make them 0..255, 0.5 and 0.5 make them -1..1."
        )
    sizes = {"img_size": found.size, "in_chans": found.channels, "num_classes": found.num_classes}
    sizes["bytes"] = len(found.content)
    model = create_model("onnx_file", **sizes)
    model.get_buffer("file").copy_(torch.frombuffer(bytearray(found.content), dtype=torch.uint8))
    preprocessing = _preprocessing(Preprocessing(**shape), {key: pixels[key] for key in ("mean", "std")})
    return Classifier(model, "onnx_file", sizes, found.labels, preprocessing).eval()


def _of_transformers(source: str) -> Classifier:
    folder = locate(source)
    _, config = read_with_config(folder)  # refuses what is damaged, or would run code
    processor = hf_settings.processor_of(config, source)
    left_out = ("preprocessor", "_name_or_path", "name_or_path")  # the last two: where its maker kept it
    about = Foreign({key: value for key, value in config.items() if key not in left_out}, source, hf_settings.CONFIG)
    about.only({"auto_map": ({},)}, "it names code that belongs to the network, which is not run")
    side = about.side("image_size", None) or _side(processor)
    sizes: dict[str, Any] = {"img_size": side, "in_chans": about.values.get("num_channels", 3)}
    sizes |= {"num_classes": len(about.part("id2label").values) or 2, "config": json.dumps(about.values)}
    model = create_model("transformers_classifier", **sizes)
    cast(TransformersClassifier, model).load(folder if folder.is_dir() else folder.parent, source)
    mean, std = hf_settings.scale_of(processor)
    shape = {"size": side, "channels": sizes["in_chans"], "mean": mean, "std": std}
    preprocessing = Preprocessing(**shape, **hf_settings.pixels_of(processor, side))
    labels = hf_settings.labels_of(about, sizes["num_classes"])
    return Classifier(model, "transformers_classifier", sizes, labels, preprocessing).eval()


def _side(processor: Foreign) -> int:
    """The side of the images, which the preprocessing alone tells where the network takes any."""
    size = processor.values.get("size")
    shortest = size.get("shortest_edge") if isinstance(size, Mapping) else None
    cut = processor.side("crop_size", None) if processor.switch("do_center_crop", False) else None
    return cut or shortest or processor.side("size", None) or 224


def _named(network: Classifier, labels: tuple[str, ...], source: str) -> Classifier:
    """The network with the names of its classes. Raises UsageError where nobody says them."""
    classes = network.sizes["num_classes"]
    if labels and len(labels) != classes:
        raise UsageError(f"`labels`: {source} tells {classes} classes apart, and {len(labels)} names are given.")
    if not labels and (not network.labels or all(UNNAMED.fullmatch(name) for name in network.labels)):
        raise UsageError(
            f"{source} does not say what its {classes} classes are. Name them in the order of its outputs: `labels`."
        )
    names = labels or network.labels
    if doubled := next((name for name in names if names.count(name) > 1), None):
        whose = "`labels`" if labels else f"{source}, which `labels` can correct"
        raise UsageError(f"{whose}: '{doubled}' is there twice. Each class has a name of its own.")
    network.labels = names
    return network


def _preprocessing(known: Preprocessing, pixels: Mapping[str, Any]) -> Preprocessing:
    """The preprocessing with what is said of it. Raises UsageError for another size or number of channels."""
    for name in ("size", "channels"):
        if name in pixels and pixels[name] != getattr(known, name):
            raise UsageError(f"`{name}` {pixels[name]}: the network takes images with {name} {getattr(known, name)}.")
    return replace(known, **{name: value for name, value in pixels.items() if name in PIXELS})


def _recipe(network: Classifier, source: str, data: Mapping[str, Any] | None) -> Recipe:
    name = re.sub(r"[^\w.-]+", "-", Path(source.rpartition(":")[2]).stem).strip("-.") or "network"
    sizes = {key: value for key, value in network.sizes.items() if key not in ("img_size", "in_chans", "num_classes")}
    recipe = Recipe(name=name).with_(model={"name": network.name, **sizes})
    return anchored(recipe.with_(data=_data(network.preprocessing, data or {})))


def _data(preprocessing: Preprocessing, data: Mapping[str, Any]) -> dict[str, Any]:
    """A data section whose images are decoded as the network wants them; all held out where none are."""
    own = {**preprocessing.settings(), "mean": preprocessing.mean, "std": preprocessing.std}
    for name in (*DECODING, "mean", "std"):
        if name in data and data[name] not in (None, own[name]):
            raise UsageError(f"`data.{name}` {data[name]}: the network takes {own[name]}. Leave it out.")
    values = {**data, **own}
    if values.get("path") is None and values.get("source") != "drawn_faces":
        return values
    store = prepare(Data(**values))
    if "val_split" not in data and not data.get("folds") and not store.has(SPLITS[1]):
        values["val_split"] = 1.0
    return values


def _environment(network: Classifier, source: str) -> Env:
    preprocessing = network.preprocessing
    if isinstance(network.model, OnnxFile):
        import onnx

        graph = onnx.load_from_string(network.model.content()).graph
        parameters, flops = sum(torch.Size(tensor.dims).numel() for tensor in graph.initializer), None
    else:
        parameters = count_parameters(network.model)
        flops = count_flops(network.model, preprocessing.size, preprocessing.channels)
    return Env(
        **hardware.environment(), classes=network.labels, parameters=parameters, flops=flops, device="cpu",
        precision="fp32", adopted=source,
    )  # fmt: skip
