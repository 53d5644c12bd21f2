import numpy as np
import pytest
import torch
from tiny_models import classifier, network

from mien.errors import UsageError
from mien.explain.position import learns_positions, recovered_grid, similarities, untrained
from mien.models import create_model


def placed(vectors: torch.Tensor):
    """A ViT of 3 x 3 patches with these position embeddings, (9, D), behind a class token's."""
    model = network("vit")
    model.pos_embed.data[:, 1:, : vectors.shape[1]] = vectors
    model.pos_embed.data[:, 1:, vectors.shape[1] :] = 0
    return model


def test_similarities_are_cosines_by_hand():
    """Patch (0, 0) points along (3, 4), patch (0, 1) along (1, 0), all others along (0, 1)."""
    vectors = torch.tensor([[3.0, 4.0], [1.0, 0.0], *[[0.0, 1.0]] * 7])
    found = similarities(placed(vectors))
    assert found.shape == (3, 3, 3, 3)
    np.testing.assert_allclose(found[0, 0].flatten(), [1, 0.6, *[0.8] * 7], atol=1e-6)
    np.testing.assert_allclose(found[0, 1, 2, 2], 0, atol=1e-7)
    np.testing.assert_allclose(found, found.transpose(2, 3, 0, 1))


def test_the_class_token_has_no_place():
    model = network("vit")
    before = similarities(model)
    model.pos_embed.data[:, 0] = 7.0
    np.testing.assert_array_equal(similarities(model), before)


def test_a_grid_in_the_embedding_is_found_however_it_is_turned():
    """Places on a small piece of a sphere, mirrored and turned: nearly flat, so the grid comes back nearly whole."""
    row, column = torch.meshgrid(torch.arange(3.0), torch.arange(3.0), indexing="ij")
    turn = torch.tensor([[0.6, 0.8], [0.8, -0.6]])
    flat = torch.stack([row.flatten() - 1, column.flatten() - 1], dim=1) @ turn * 0.05
    model = placed(torch.cat([flat, torch.ones(9, 1)], dim=1))
    found = recovered_grid(model)
    np.testing.assert_allclose(found.places, [[i, j] for i in range(3) for j in range(3)], atol=0.02)
    assert found.fit == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("kind", ["learn", "sincos2d"])
def test_random_embeddings_hold_no_grid_and_waves_do_not_lie_flat(kind):
    assert recovered_grid(network("vit", img_size=91, pos_embed=kind)).fit < 0.2


def test_an_embedding_that_is_everywhere_the_same_holds_nothing():
    model = placed(torch.ones(9, 2))
    found = recovered_grid(model)
    assert found.fit == pytest.approx(0, abs=1e-6)
    assert found.places.shape == (9, 2)


def test_the_shallow_vit_has_positions_too():
    assert similarities(network("shallow_vit")).shape == (2, 2, 2, 2)
    assert recovered_grid(network("shallow_vit")).places.shape == (4, 2)


@pytest.mark.parametrize(
    ("kind", "learned"), [("learn", True), ("learn2d", True), ("sincos2d", False), ("relative", False), ("none", False)]
)
def test_learned_positions_are_told_from_others(kind, learned):
    assert learns_positions(network("vit", pos_embed=kind)) == learned


def test_untrained_is_the_same_network_from_seed_0():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    model = classifier("vit")
    torch.set_rng_state(before)
    again = untrained(model)
    torch.testing.assert_close(torch.get_rng_state(), before)
    torch.manual_seed(0)
    expected = create_model("vit", **model.sizes)
    torch.testing.assert_close(again.state_dict(), expected.state_dict())


def test_models_without_positions():
    for call in (similarities, recovered_grid):
        with pytest.raises(UsageError, match=r"no position embeddings \(pos_embed 'none'\)\. Train one with pos_embed"):
            call(network("vit", pos_embed="none"))
        with pytest.raises(UsageError, match=r"CnnV2 has no attention over patches"):
            call(network("cnn_v2"))
