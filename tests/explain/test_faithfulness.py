import kornia
import numpy as np
import pytest
import scipy.stats
import torch
from tiny_models import images, network
from torch import nn

from mien.errors import UsageError
from mien.explain.faithfulness import (
    SHARES,
    Against,
    Verdict,
    against_random,
    deletion,
    insertion,
    pointing_game,
    rank_correlation,
    sanity_check,
    smooth_noise,
    smoothed,
)

SIDE = 20


class Spot(nn.Module):
    """Class 1 is certain as long as 3 x 3 pixels in the middle are bright, class 0 when they are dark."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(60.0))

    def forward(self, x):
        bright = self.scale * (x[:, :, 9:12, 9:12].mean((1, 2, 3)) - 0.6)
        return torch.stack([torch.zeros_like(bright), bright], dim=1)


def bright_spot(count: int = 2) -> tuple[torch.Tensor, np.ndarray]:
    x = torch.zeros(count, 1, SIDE, SIDE)
    x[:, :, 9:12, 9:12] = 1.0
    return x, x[:, 0].numpy()


def test_deletion_and_insertion_by_hand():
    """The spot has 9 of 400 pixels, so it is gone, or there, after the first step of 24, which takes 17.

    The curve falls from 1 to 0 within a step of 1/24: its area is half of that. Insertion: the same from below.
    """
    x, maps = bright_spot()
    gone, come = deletion(Spot(), x, maps), insertion(Spot(), x, maps)
    np.testing.assert_allclose(gone.shares, np.arange(25) / 24)
    np.testing.assert_allclose(gone.probabilities, [[1] + [0] * 24] * 2, atol=1e-4)
    np.testing.assert_allclose(come.probabilities, [[0] + [1] * 24] * 2, atol=1e-4)
    np.testing.assert_allclose(gone.areas, [1 / 48] * 2, atol=1e-4)
    np.testing.assert_allclose(come.areas, [47 / 48] * 2, atol=1e-4)


def test_probabilities_are_taken_at_a_temperature():
    x, maps = bright_spot()
    start = insertion(Spot(), x, maps, temperature=24.0).probabilities[:, -1]  # the logit 60 * 0.4 divided by 24
    np.testing.assert_allclose(start, 1 / (1 + np.exp(-1)), atol=1e-4)


def test_maps_that_are_the_same_everywhere_are_called_empty():
    x, maps = bright_spot()
    assert str(against_random(Spot(), x, np.full_like(maps, 0.3))).startswith("Empty")
    assert not against_random(Spot(), x, maps).empty


def test_the_worst_order_keeps_the_spot_to_the_end():
    x, maps = bright_spot()
    assert deletion(Spot(), x, -maps).areas.min() > 0.9
    assert insertion(Spot(), x, -maps).areas.max() < 0.1


def test_the_target_may_be_another_class():
    x, maps = bright_spot()
    both = deletion(Spot(), x, maps, 0).probabilities + deletion(Spot(), x, maps, 1).probabilities
    np.testing.assert_allclose(both, 1, atol=1e-6)
    with pytest.raises(UsageError, match="Class 2 is not one of the model's 2"):
        deletion(Spot(), x, maps, 2)


def test_the_ends_of_the_curves_are_the_image_and_the_blurred_image():
    model, x = network("cnn_v2"), images("cnn_v2")
    maps = smooth_noise((3, 29, 29), 5)
    gone, come = deletion(model, x, maps), insertion(model, x, maps)
    with torch.no_grad():
        sharp = model(x).softmax(1)
        blurred = model(kornia.filters.gaussian_blur2d(x, (11, 11), (29 / 8, 29 / 8))).softmax(1)
    chosen = sharp.argmax(1)[:, None]
    for curves, start, end in ((gone, sharp, blurred), (come, blurred, sharp)):
        np.testing.assert_allclose(curves.probabilities[:, 0], start.gather(1, chosen)[:, 0], atol=1e-5)
        np.testing.assert_allclose(curves.probabilities[:, -1], end.gather(1, chosen)[:, 0], atol=1e-5)


def test_every_step_takes_an_equal_share_also_of_pixels_that_are_equal():
    class Counter(nn.Module):
        """Keeps what it saw."""

        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))
            self.seen = []

        def forward(self, x):
            self.seen.append(x.detach().clone())
            return self.scale * x.flatten(1)[:, :3]

    model, x = Counter(), torch.randn(1, 1, SIDE, SIDE)
    deletion(model, x, np.zeros((1, SIDE, SIDE)))
    changed = (model.seen[-1] != x).flatten(1).sum(1).tolist()  # all steps of the image in one batch
    assert changed == np.round(SHARES * SIDE**2).tolist()
    half = (model.seen[-1] != x)[12, 0].float()
    assert half[: SIDE // 2].mean() < 0.9, "equal pixels must not go from the top"


def test_a_true_map_beats_random_and_a_false_one_does_not():
    x, maps = bright_spot(20)
    faithful = against_random(Spot(), x, maps, seed=1)
    assert faithful.images == 20
    for test in (faithful.deletion, faithful.insertion):
        assert test.beats_random
        assert test.interval[0] < test.better < test.interval[1]
    assert faithful.deletion.better == pytest.approx(faithful.deletion.random - faithful.deletion.area)
    assert faithful.insertion.better == pytest.approx(faithful.insertion.area - faithful.insertion.random)
    assert str(faithful) == "Holds: better than random maps in deletion and in insertion."
    wrong = against_random(Spot(), x, -maps, seed=1)
    assert str(wrong) == "No better than random maps: do not read anything into it."
    assert wrong.insertion.interval[1] < 0


def test_random_maps_themselves_are_no_better_than_random():
    model, x = network("cnn_v2"), images("cnn_v2", 40)
    found = against_random(model, x, smooth_noise((40, 29, 29), 99), seed=1)
    for test in (found.deletion, found.insertion):
        assert test.interval[0] < 0 < test.interval[1]
    assert found == against_random(model, x, smooth_noise((40, 29, 29), 99), seed=1)


def test_better_in_one_only():
    won, lost = Against(0.2, 0.5, 0.3, (0.1, 0.5)), Against(0.5, 0.5, 0.0, (-0.1, 0.1))
    assert str(Verdict(7, won, lost)) == "In doubt: better than random maps in deletion only."
    assert str(Verdict(7, lost, won)) == "In doubt: better than random maps in insertion only."


def test_smooth_noise_goes_up_and_down_in_regions():
    maps = smooth_noise((3, 48, 48), 0)
    assert not np.array_equal(maps[0], maps[1])
    neighbours = np.corrcoef(maps[:, :, 1:].flatten(), maps[:, :, :-1].flatten())[0, 1]
    across = np.corrcoef(maps[:, :, 24:].flatten(), maps[:, :, :24].flatten())[0, 1]
    assert neighbours > 0.95
    assert abs(across) < 0.4
    np.testing.assert_array_equal(maps, smooth_noise((3, 48, 48), 0))


def test_pointing_game_by_hand():
    """Four images of 2 x 3 pixels; hits: yes, no, yes, yes. Masks cover 1, 1, 2 and 2 of 6 pixels, a quarter.

    Of images 0 and 2, place (0, 0) is in both masks; of images 1 and 3 it is in one.
    """
    masks = np.zeros((4, 2, 3), bool)
    for image, row, column in ((0, 0, 0), (1, 1, 1), (2, 0, 0), (2, 1, 2), (3, 0, 0), (3, 0, 1)):
        masks[image, row, column] = True
    maps = np.zeros((4, 2, 3), np.float32)
    for image, row, column in ((0, 0, 0), (1, 0, 2), (2, 1, 2), (3, 0, 1)):
        maps[image, row, column] = 7.0
    found = pointing_game(maps, masks)
    assert (found.images, found.hits, found.random, found.fixed) == (4, 0.75, 0.25, 0.5)
    assert found.interval == pytest.approx((0.3006, 0.9544), abs=1e-4)  # Wilson's, of 3 in 4


def test_the_pointing_game_on_smoothed_maps_finds_the_blob_and_not_the_single_pixel():
    """A pixel of 9, far from it 5 x 5 pixels of 3: smoothed by 2 pixels the first is below .4, the others above 1."""
    maps, masks = np.zeros((2, 31, 31), np.float32), np.zeros((2, 31, 31), bool)
    maps[:, 4, 25] = 9.0
    maps[:, 18:23, 6:11], masks[:, 18:23, 6:11] = 3.0, True
    assert pointing_game(maps, masks).hits == 0
    assert pointing_game(maps, masks, sigma=2).hits == 1
    low, high = smoothed(maps, 2)[0, 4, 25], smoothed(maps, 2)[0, 20, 8]
    assert low == pytest.approx(9 / (2 * np.pi * 4), rel=0.02)
    assert high > 1
    np.testing.assert_array_equal(smoothed(maps, 0), maps)


def edges(model, x) -> np.ndarray:
    """A fake: an edge detector, which looks like an explanation and never asks the model."""
    return kornia.filters.sobel(x)[:, 0].numpy()


def test_the_sanity_check_catches_a_fake_and_lets_gradients_pass():
    model, x = network("cnn_v2"), images("cnn_v2", 6)
    fake = sanity_check(model, x, edges)
    assert fake.flagged
    assert fake.correlation == pytest.approx(1)
    assert "with shuffled weights the map stays the same (rank correlation 1.00)" in str(fake)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    real = sanity_check(model, x, "integrated_gradients")
    assert not real.flagged
    assert abs(real.correlation) < UNRELATED
    assert str(real).startswith("Depends on what the model learned (rank correlation with shuffled weights ")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


UNRELATED = 0.3


def test_the_sanity_check_gives_a_method_models_whose_every_parameter_is_shuffled():
    model, x = network("vit"), images("vit")
    seen = []

    def method(given, batch):
        seen.append({name: value.clone() for name, value in given.named_parameters()})
        return smooth_noise((3, 21, 21), len(seen))

    assert abs(sanity_check(model, x, method, draws=2).correlation) < 0.5
    own, *others = seen
    assert len(others) == 2
    for name, value in own.items():
        for other in others:
            assert torch.equal(other[name].flatten().sort().values, value.flatten().sort().values), name
            assert value.unique().numel() < 2 or not torch.equal(other[name], value), name


def test_rank_correlation_by_hand():
    """Ranks 1 2 3 4 against 1 3 2 4: 1 - 6 (0 + 1 + 1 + 0) / (4 * 15) = 0.8."""
    maps = iter([[[[1.0, 2.0], [3.0, 4.0]]], [[[10.0, 30.0], [20.0, 40.0]]]])
    found = sanity_check(network("cnn_v2"), images("cnn_v2", 1), lambda *given: np.array(next(maps)), draws=1)
    assert found.correlation == pytest.approx(0.8)
    assert found.flagged


def test_rank_correlation_is_scipys_also_with_equal_numbers():
    one, other = np.random.default_rng(0).integers(0, 9, (2, 7, 11))
    expected = scipy.stats.spearmanr(one, one + other, axis=None).statistic
    assert rank_correlation(one, one + other) == pytest.approx(expected)
    assert 0.5 < expected < 0.9


def test_flat_maps_have_no_ranks_and_count_as_the_same_only_if_they_are():
    model, x = network("cnn_v2"), images("cnn_v2", 1)
    assert sanity_check(model, x, lambda *given: np.zeros((1, 3, 3))).correlation == 1
    maps = iter([np.zeros((1, 2, 2)), np.arange(4.0).reshape(1, 2, 2)])
    assert sanity_check(model, x, lambda *given: next(maps), draws=1).correlation == 0
    assert not Verdict(1, correlation=0.5).flagged


def test_the_model_is_left_in_its_mode():
    model, x = network("cnn_v2").train(), images("cnn_v2")
    against_random(model, x, smooth_noise((3, 29, 29), 0))
    sanity_check(model, x, "saliency", draws=1)
    assert all(module.training for module in model.modules())
