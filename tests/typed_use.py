"""What a type checker knows of `import mien`: checked by mypy, never run (see tests/test_api.py)."""

from pathlib import Path
from typing import assert_type

from torch import nn

import mien
from mien.evaluate.compare import Comparison
from mien.export import Export
from mien.pretrained import Classifier
from mien.proof import Proof
from mien.push import Push
from mien.runs import Scores, Subgroups
from mien.train.lr_finder import RangeTest
from mien.web import WebFolder


def every_verb() -> None:
    recipe = assert_type(mien.recipe("folder_vit", data={"path": "pictures"}, train={"epochs": 5}), mien.Recipe)
    assert_type(recipe.with_(seed=1), mien.Recipe)
    run = assert_type(mien.train(recipe, "runs/mine", overwrite=True), mien.Run)
    assert_type(mien.adopt("theirs.onnx", labels=("a", "b"), data="pictures", mean=0.5, std=0.5), mien.Run)
    assert_type(mien.lr(recipe, steps=40), RangeTest)
    assert_type(mien.resume(run, data="pictures", allow_code="mine:Linear"), mien.Run)
    assert_type(mien.evaluate(run, "test", data=Path("pictures")), Scores)
    assert_type(mien.evaluate(run, by="camera", table="cameras.csv").subgroups, Subgroups | None)
    assert_type(mien.compare(run, "runs/other", by="camera"), Comparison)
    assert_type(mien.explain(run, "photo.jpg", ["grad_cam"]), mien.Explanation)
    assert_type(mien.embed(run), mien.Embedding)
    assert_type(mien.export(run, weights="int8"), Export)
    assert_type(mien.export("mien:tiny", web="page", overwrite=True), WebFolder)
    assert_type(mien.push(run, "jane/faces", licence="mit", private=True, dry_run="dry"), Push)
    assert_type(mien.from_pretrained("mien:base"), Classifier)
    assert_type(mien.create_model("vit", depth=3), nn.Module)
    assert_type(mien.list_models("*vit*"), list[str])
    assert_type(mien.list_recipes(), list[str])
    assert_type(mien.verify(run), list[str])
    assert_type(mien.verify("mien:base", data="pictures", split="test"), Proof)
    reader = assert_type(mien.load("mien:tiny"), mien.Reader)
    assert_type(reader.read_each(["photo.jpg"]).__next__(), list[mien.Face])


def a_run(run: mien.Run) -> None:
    assert_type(mien.Run.open("runs/mine"), mien.Run)
    assert_type(run.path, Path)
    assert_type(run.recipe, mien.Recipe)
    assert_type(run.evaluate("validation"), Scores)
    assert_type(run.explain("photo.jpg"), mien.Explanation)
    assert_type(run.export(), Export)
    assert_type(run.push("jane/faces", message="The first"), Push)
    assert_type(run.load(), mien.Reader)
    assert_type(run.report(), Path)


def the_types(listing: mien.Listing, error: mien.MienError) -> None:
    assert_type(listing.classes, tuple[str, ...])
    assert_type(error.exit_code, int)
