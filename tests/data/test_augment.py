import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.config import Augment
from mien.data.augment import OPERATIONS, Augmentation, rectangles, stream

EVERYTHING = Augment(
    hflip=0.5,
    vflip=0.5,
    rotate=20,
    translate=0.1,
    scale=(0.8, 1.2),
    shear=10,
    brightness=0.2,
    contrast=0.3,
    noise=0.1,
    erase=0.5,
    randaugment=2,
    mixup=0.2,
    cutmix=1.0,
)


def augmented(settings: Augment, images: torch.Tensor, key: int = 0) -> torch.Tensor:
    augmentation = Augmentation(settings, 3)
    return augmentation.apply(images, augmentation.draw(len(images), stream(key)))


def faces(count=6, channels=1, side=13) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(0))


def test_nothing_asked_nothing_changed():
    x = faces()
    assert torch.equal(augmented(Augment(), x), x)


@pytest.mark.parametrize(("name", "axis"), [("hflip", 3), ("vflip", 2)])
def test_flips_are_exact(name, axis):
    x = faces()
    torch.testing.assert_close(augmented(Augment(**{name: 1.0}), x), x.flip(axis), rtol=0, atol=1e-5)


def test_mirroring_alone_equals_the_warp():
    x = faces()
    draws = Augmentation(Augment(hflip=0.5, vflip=0.5), 3).draw(len(x), stream(3))
    assert draws["flip"].any()
    warped = Augmentation(Augment(hflip=0.5, vflip=0.5, rotate=1e-7), 3).apply(x, draws)
    torch.testing.assert_close(
        Augmentation(Augment(hflip=0.5, vflip=0.5), 3).apply(x, draws), warped, rtol=0, atol=1e-5
    )


def test_half_of_the_images_are_flipped():
    draws = Augmentation(Augment(hflip=0.5), 3).draw(2000, stream(0))
    assert 0.45 < draws["flip"][:, 0].float().mean() < 0.55
    assert not draws["flip"][:, 1].any()


def test_crop_is_a_window_of_the_image():
    x = faces(side=13)
    out = augmented(Augment(crop=7), x)
    assert out.shape == (6, 1, 7, 7)
    for image, window in zip(x, out, strict=True):
        found = image.unfold(1, 7, 1).unfold(2, 7, 1).reshape(-1, 7, 7)  # every window of the image
        assert (found - window).abs().flatten(1).max(1).values.min() < 1e-4


def test_crops_reach_every_corner():
    places = torch.arange(169.0).reshape(1, 1, 13, 13).expand(500, -1, -1, -1)  # each pixel says where it is
    corners = augmented(Augment(crop=7), places / 169)[:, 0, 0, 0] * 169
    assert {divmod(round(corner), 13) for corner in corners.tolist()} == set(itertools.product(range(7), range(7)))


def test_rotation_turns_a_quarter():
    settings = Augment(rotate=90)
    augmentation = Augmentation(settings, 3)
    draws = augmentation.draw(2, stream(0)) | {"angle": torch.tensor([90.0, -90.0])}
    x = faces(2)
    out = augmentation.apply(x, draws)
    torch.testing.assert_close(out[0], x[0].rot90(-1, (1, 2)), rtol=0, atol=1e-4)
    torch.testing.assert_close(out[1], x[1].rot90(1, (1, 2)), rtol=0, atol=1e-4)


def test_erasing_fills_one_rectangle_with_the_mean():
    x = faces(50, 3, 17)
    out = augmented(Augment(erase=1.0, erase_area=(0.1, 0.3)), x)
    for image, erased in zip(x, out, strict=True):
        changed = (image != erased).any(0)
        rows, columns = changed.any(1).sum(), changed.any(0).sum()
        assert 0.05 * 289 < rows * columns < 0.4 * 289
        assert changed.sum() == rows * columns
        for channel in range(3):
            torch.testing.assert_close(erased[channel][changed].mean(), image[channel].mean())


def test_noise_has_each_images_own_deviation():
    grey = torch.full((5, 1, 97, 97), 0.5)
    augmentation = Augmentation(Augment(noise=0.1), 3)
    draws = augmentation.draw(5, stream(7))
    changed = augmentation.apply(grey, draws) - grey
    assert draws["noise"].max() <= 0.1
    torch.testing.assert_close(changed.std(dim=(1, 2, 3)), draws["noise"], rtol=0.03, atol=0)
    assert changed.mean().abs() < 0.003
    assert abs(np.corrcoef(changed[0].flatten(), changed[1].flatten())[0, 1]) < 0.05


def test_rectangles_by_hand():
    inside = rectangles(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 2.0]]), 3)
    assert inside[0, 0].int().tolist() == [[0, 0, 0], [1, 1, 0], [0, 0, 0]]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 9), st.sampled_from([1, 3]), st.integers(0, 2**31), st.floats(0, 10))
def test_any_batch_stays_in_range_and_shape(count, channels, key, magnitude):
    x = faces(count, channels)
    out = augmented(EVERYTHING.model_copy(update={"magnitude": magnitude}), x, key)
    assert out.shape == x.shape
    assert out.dtype == x.dtype
    assert torch.isfinite(out).all()
    assert out.min() >= -1e-4
    assert out.max() <= 1 + 1e-4


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4), st.integers(0, 2**31))
def test_processes_together_see_what_one_process_sees(share, key):
    """A batch of 2 * share, whole or in two halves: the same images, the same targets."""
    share *= 2  # mixing pairs stay within a process
    x, labels = faces(2 * share), torch.arange(2 * share) % 3
    augmentation = Augmentation(EVERYTHING, 3)

    def step(part: slice):
        draws = augmentation.draw(2 * share, stream(key))
        own = {name: values[part] for name, values in draws.items()}
        return augmentation.mix(augmentation.apply(x[part], own), labels[part], own)

    whole, first, second = step(slice(None)), step(slice(share)), step(slice(share, None))
    for together, one, two in zip(whole, first, second, strict=True):
        torch.testing.assert_close(together, torch.cat([one, two]), rtol=0, atol=1e-5)


def test_randaugment_draws_for_each_image():
    operations = Augmentation(Augment(randaugment=2), 3).draw(400, stream(0))["operation"]
    assert set(operations.flatten().tolist()) == set(range(len(OPERATIONS)))
    assert (operations[0] != operations).any()


@pytest.mark.parametrize("operation", OPERATIONS[1:])
def test_every_randaugment_operation_changes_its_image_alone(operation):
    augmentation = Augmentation(Augment(randaugment=1), 3)
    x = faces(3, 3)
    draws = augmentation.draw(3, stream(0))
    draws["operation"] = torch.tensor([[0], [OPERATIONS.index(operation)], [0]])
    draws["sign"] = torch.ones(3, 1)
    out = augmentation.apply(x, draws)
    torch.testing.assert_close(out[[0, 2]], x[[0, 2]], rtol=0, atol=1e-5)
    assert (out[1] - x[1]).abs().max() > 0.01


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 9), st.integers(0, 2**31), st.booleans())
def test_mixed_targets_are_distributions_of_the_mixed_pixels(count, key, cutmix):
    """Images of one value each: the mix's mean is the share that the target states."""
    settings = Augment(cutmix=1.0) if cutmix else Augment(mixup=1.0)
    augmentation = Augmentation(settings, count)
    x = torch.linspace(0, 1, count)[:, None, None, None].expand(-1, 1, 11, 11)
    labels = torch.arange(count)
    mixed, targets = augmentation.mix(x, labels, augmentation.draw(count, stream(key)))
    torch.testing.assert_close(targets.sum(1), torch.ones(count))
    torch.testing.assert_close(mixed.mean((1, 2, 3)), targets @ x[:, 0, 0, 0], rtol=0, atol=1e-5)


def test_cutmix_pastes_and_mixup_blends():
    x = torch.tensor([0.0, 1.0])[:, None, None, None].expand(-1, 1, 11, 11)
    for mixing, pasted in ((Augment(cutmix=1.0), True), (Augment(mixup=1.0), False)):
        augmentation = Augmentation(mixing, 2)
        mixed, _ = augmentation.mix(x, torch.tensor([0, 1]), augmentation.draw(2, stream(3)))
        assert (len(mixed[0].unique()) == 2) == pasted


def test_mix_prob_is_the_share_of_mixed_batches():
    augmentation = Augmentation(Augment(mixup=1.0, mix_prob=0.3), 2)
    mixed = [(augmentation.draw(2, stream(key))["share"] < 1).any().item() for key in range(300)]
    assert 60 < sum(mixed) < 120


def test_streams_depend_on_the_whole_key():
    def first(*key):
        return torch.rand(1, generator=stream(*key)).item()

    assert first(1, 2, 3) == first(1, 2, 3)
    assert len({first(1, 2, 3), first(1, 3, 2), first(1, 2), first(0, 2, 3)}) == 4


def test_a_training_step_augments_in_full_precision():
    """Under autocast to bf16 a flip would be off by 0.008."""
    from mien.config import Recipe
    from mien.preprocessing import Preprocessing
    from mien.train.task import Task

    recipe = Recipe(augment=Augment(hflip=1.0))
    task = Task(recipe, torch.nn.Flatten(), Preprocessing(size=13, mean=0.0, std=1.0), np.array([1, 1]))
    task._trainer = SimpleNamespace(world_size=1, global_rank=0)
    task.random, task.part = stream(0), 0
    images = (faces() * 255).byte()
    with torch.autocast("cpu", torch.bfloat16):
        pixels, _ = task._augmented(images, torch.zeros(6, dtype=torch.long))
    torch.testing.assert_close(pixels, images.flip(3).float() / 255, rtol=0, atol=1e-5)
