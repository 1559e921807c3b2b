"""Folding frozen norms into convolutions changes how much is computed, and nothing of what comes out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lmaas.types import CNN, MLP, AudioCNN
from lmaas_server.engine.architectures.folding import folded, fused
from lmaas_server.engine.registry import ARCHITECTURES

NETWORKS = {
    "cnn": (CNN(channels=[4, 6]), (3, 12, 12)),
    "cnn without norms": (CNN(channels=[4, 6], batch_norm=False), (12, 12)),
    "audio_cnn": (AudioCNN(channels=[4, 6]), (16, 20)),
    "mlp with norms": (MLP(hidden=[8], batch_norm=True), (5,)),
}


def _lived(name: str) -> tuple[nn.Sequential, Tensor]:
    """Return a network in evaluation mode whose norms have seen something, and rows for it."""
    torch.manual_seed(0)
    config, shape = NETWORKS[name]
    network = ARCHITECTURES[config.type].build(config, shape, 3)
    rows = torch.randn(7, *shape)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    network.train()(3 * rows + 1)
    return network.eval(), rows


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folded_network_gives_the_same_outputs(name: str) -> None:
    network, rows = _lived(name)
    torch.testing.assert_close(folded(network, rows), network(rows))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_of_a_folded_network_gets_the_same_gradient(name: str) -> None:
    network, rows = _lived(name)
    weights = list(network.parameters())
    expected = torch.autograd.grad(network(rows).square().sum(), weights)
    found = torch.autograd.grad(folded(network, rows).square().sum(), weights)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_fused_network_has_no_norm_behind_a_convolution_and_gives_the_same_outputs(name: str) -> None:
    network, rows = _lived(name)
    found = fused(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in found.modules())
    torch.testing.assert_close(found(rows), network(rows))


def test_a_convolution_that_comes_last_is_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3)).eval()
    rows = torch.randn(2, 1, 5, 5)
    assert torch.equal(folded(network, rows), network(rows))


def test_a_norm_without_statistics_of_its_own_is_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False)).eval()
    rows = torch.randn(2, 1, 5, 5)
    assert torch.equal(folded(network, rows), network(rows))
