"""Batch norm that several processes share; here of one process, which must be what it is alone."""

import copy

import pytest
import torch
import torch.distributed as dist
from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from torch import nn
from torch.testing import assert_close

from mien.train.batch_norm import SharedBatchNorm, shared_batch_norm


class WithActivation(nn.BatchNorm2d):
    """As timm's BatchNormAct2d."""

    def __init__(self, channels):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.ReLU()

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


class OfItsOwn(nn.BatchNorm2d):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.fixture
def alone(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def network(kind):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), kind(3), nn.Conv2d(3, 5, 3))


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, WithActivation, OfItsOwn])
def test_of_one_process_it_is_what_it_is_alone(alone, kind):
    own, shared = network(kind), network(kind)
    SharedBatchNorm().apply(shared)
    images = torch.randn(7, 2, 11, 11)
    answers = [each.train()(images) for each in (own, shared)]
    for answer in answers:
        answer.square().sum().backward()
    assert_close(answers[1], answers[0], rtol=0, atol=1e-5)
    for one, other in zip(own.parameters(), shared.parameters(), strict=True):
        assert_close(other.grad, one.grad, rtol=1e-4, atol=1e-3)
    for one, other in zip(own.buffers(), shared.buffers(), strict=True):
        assert_close(other, one, rtol=0, atol=1e-6)
    kept = copy.deepcopy(shared.state_dict())
    SharedBatchNorm().revert(shared)
    assert type(shared[1]) is kind
    assert shared.state_dict().keys() == kept.keys()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bfloat16_has_statistics_in_float32(alone, layout):
    own, shared = nn.Sequential(nn.BatchNorm2d(5)), nn.Sequential(nn.BatchNorm2d(5))
    SharedBatchNorm().apply(shared)
    images = (3 + 2 * torch.randn(7, 5, 11, 13)).bfloat16().to(memory_format=layout)
    gradient = torch.randn_like(images)
    inputs = [images.clone().requires_grad_(), images.clone().requires_grad_()]
    for norm, x in zip((own, shared), inputs, strict=True):
        answer = norm(x)
        assert answer.dtype == torch.bfloat16
        assert answer.is_contiguous(memory_format=layout)
        answer.backward(gradient)
    for one, other in zip(own.buffers(), shared.buffers(), strict=True):
        assert_close(other, one, rtol=1e-5, atol=1e-5)
    assert_close(inputs[1].grad, inputs[0].grad, rtol=0.02, atol=0.02)


def test_torchs_own_is_for_gpus_and_plain_batch_norms():
    assert isinstance(shared_batch_norm(network(nn.BatchNorm2d), "cuda"), TorchSyncBatchNorm)
    assert isinstance(shared_batch_norm(network(nn.BatchNorm2d), "cpu"), SharedBatchNorm)
    assert isinstance(shared_batch_norm(network(WithActivation), "cuda"), SharedBatchNorm), "it loses activations"
