"""Dropout by its definition: what is kept, how it is scaled, when it does nothing."""

import pytest
import torch

from mien.models.parts.dropout import Dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_share_is_dropped_and_the_rest_scaled(dtype, memory_format):
    torch.manual_seed(0)
    x = torch.full((7, 11, 13, 17), 3.0, dtype=dtype).to(memory_format=memory_format).requires_grad_()
    dropped = Dropout(0.25)(x)
    kept = dropped != 0
    assert dropped.dtype == dtype
    assert dropped.is_contiguous(memory_format=memory_format)
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.02)  # of 17,017 values
    torch.testing.assert_close(dropped[kept], torch.full_like(dropped[kept], 4.0))
    dropped.sum().backward()
    torch.testing.assert_close(x.grad, torch.where(kept, 4 / 3, 0.0).to(dtype))


def test_each_image_and_each_call_draws_its_own():
    torch.manual_seed(0)
    drop, x = Dropout(0.5), torch.ones(2, 101)
    first, second = drop(x), drop(x)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(drop(x), first)


def test_it_is_off_in_evaluation_and_all_or_nothing_at_the_ends():
    x = torch.randn(5, 7)
    assert Dropout(0.5).eval()(x) is x
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(Dropout(1.0)(x), torch.zeros(5, 7))
