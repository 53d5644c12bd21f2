"""Changes by hand, and what a run loses by them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from mien.cli import main
from mien.config import Data, Model, Recipe, Train
from mien.evaluate import run_model
from mien.evaluate.robustness import CHANGES, EYES, MOUTH, changed, robustness
from mien.runs import RunFolder
from mien.train.run import run


def faces(value: float = 0.5, side: int = 48) -> torch.Tensor:
    return torch.full((3, 1, side, side), value)


@pytest.mark.parametrize(("name", "strength", "expected"), [("darker", -0.3, 0.2), ("brighter", 0.3, 0.8)])
def test_light_by_hand(name, strength, expected):
    torch.testing.assert_close(changed(faces(), name, strength), faces(expected))
    assert changed(faces(0.9), "brighter", 0.3).max() == 1.0


def test_noise_has_its_deviation_and_is_the_same_again():
    found = changed(faces(), "noise", 0.1)
    assert (found - 0.5).std().item() == pytest.approx(0.1, rel=0.05)
    assert torch.equal(found, changed(faces(), "noise", 0.1))
    assert not torch.equal(found, changed(faces(), "noise", 0.1, seed=1))


def test_blur_spreads_a_point_by_its_sigma():
    """A point becomes a Gaussian; on a side of 96 sigma is twice as many pixels."""
    for side, sigma in ((48, 1.0), (96, 2.0)):
        images = faces(0.0, side)
        images[:, :, side // 2, side // 2] = 1.0
        row = changed(images, "blur", 1.0)[0, 0].sum(dim=0)
        offsets = torch.arange(side) - side // 2
        assert row.sum().item() == pytest.approx(1.0, abs=1e-5)
        assert (row * offsets**2).sum().sqrt().item() == pytest.approx(sigma, rel=0.05)


def test_contrast_moves_pixels_towards_the_mean():
    images = torch.tensor([0.25, 0.75]).repeat(24).expand(3, 1, 48, 48)
    torch.testing.assert_close(changed(images, "less contrast", 0.5).unique(), torch.tensor([0.375, 0.625]))


def test_a_shift_moves_by_its_share_and_a_rotation_keeps_the_centre():
    images = faces(0.0, 49)
    images[:, :, 24, 24] = 1.0
    place = torch.stack(torch.meshgrid(torch.arange(49.0), torch.arange(49.0), indexing="ij")) - 24
    moved = changed(images, "shift", 0.2)
    centre = (moved * place).sum(dim=(2, 3)) / moved.sum(dim=(2, 3))  # (B, 2)
    assert centre.norm(dim=1).tolist() == pytest.approx([0.2 * 49] * 3, rel=1e-3)
    assert len({round(value, 3) for value in centre[:, 0].tolist()}) == 3  # each in its own direction
    torch.testing.assert_close(changed(images, "rotation", 20.0)[:, :, 24, 24], torch.ones(3, 1), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "area"), [("eyes covered", EYES), ("mouth covered", MOUTH)])
def test_what_is_covered(name, area):
    images = torch.rand(3, 1, 48, 48)
    found = changed(images, name, 1.0)
    top, bottom, left, right = (round(48 * edge) for edge in area)
    for image, after in zip(images, found, strict=True):
        assert torch.all(after[0, top:bottom, left:right] == after[0, top, left])
        assert after[0, top, left].item() == pytest.approx(image.mean().item())
    outside = torch.ones(48, 48, dtype=torch.bool)
    outside[top:bottom, left:right] = False
    assert torch.equal(found[:, 0, outside], images[:, 0, outside])


def test_eyes_and_mouth_are_covered_on_faces_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    for i, name in enumerate(["cat", "dog"] * 20):
        (tmp_path / "pets" / name).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(256, size=(24, 24), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{i}.png")
    recipe = Recipe(
        data=Data(source="folder", path=tmp_path / "pets", size=24),
        model=Model(name="lenet"),
        train=Train(epochs=1, batch_size=4),
    )
    changes = {row.change for row in robustness(run(recipe, tmp_path / "run"))}
    assert changes == CHANGES.keys() - {"eyes covered", "mouth covered"}


def test_a_run_is_scored_and_its_report_shows_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    recipe = Recipe(
        name="robust",
        data=Data(source="drawn_faces", images=140, size=24),
        model=Model(name="lenet"),
        train=Train(epochs=1, batch_size=35),
    )
    folder = run(recipe, tmp_path / "run")
    asked = []
    monkeypatch.setattr(run_model, "torch_device", lambda device: asked.append(device) or torch.device("cpu"))
    assert main(["evaluate", str(folder), "--robustness", "--json", "--device", "auto"]) == 0
    assert asked == ["auto"] * 3  # to change, to score, and to say what did
    found = json.loads(capsys.readouterr().out)
    assert len(found["robustness"]) == sum(len(strengths) for _, strengths, _ in CHANGES.values())
    assert {row["images"] for row in found["robustness"]} == {found["images"]}
    rows = RunFolder.open(folder).robustness["validation"]
    assert [row.accuracy for row in rows] == [row["accuracy"] for row in found["robustness"]]
    page = (folder / "report.html").read_text()
    assert "When pictures get worse" in page
    assert "mouth covered" in page
    of_train = robustness(folder, "train")
    assert RunFolder.open(folder).robustness == {"train": of_train, "validation": rows}
    assert of_train != rows
    assert main(["evaluate", str(folder), "--robustness", "--split", "train"]) == 2
    assert "--robustness is measured on the validation images" in capsys.readouterr().err
