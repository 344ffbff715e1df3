"""Our VAE against pythae's: the same weights and the same z give the same loss."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.nets.diagonal import LOG_SCALE_START
from engine.nets.latent_model import LatentModel
from engine.registry import build_model

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("pythae")
    from tests.benchmarks import peer_pythae

SHAPE = (1, 3, 4)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ours() -> LatentModel:
    model = build_model(
        "vae", event_shape=SHAPE, levels=2, latent_features=3, hidden_features=(6, 5)
    )
    assert isinstance(model, LatentModel)
    model.prepare((torch.rand(90, *SHAPE, generator=seeded(2)) < 0.3).float(), generator=seeded(0))
    return model.double()


@torch.no_grad()
def copy_weights(model: LatentModel, peer: Any) -> None:
    """pythae sees x as it is, has no offset, and gives log σ² in a layer of its own."""
    for mine, other in (
        (model.encoder, peer.encoder.layers),
        (model.decoder, peer.decoder.layers),
    ):
        for layer, twin in zip(mine, other, strict=False):
            if isinstance(layer, torch.nn.Linear) and layer.weight.shape == twin.weight.shape:
                twin.load_state_dict(layer.state_dict())
    peer.encoder.layers[0].bias.sub_(model.encoder[0].weight @ model.location)
    weights, biases = (
        part.chunk(2) for part in (model.encoder[-1].weight, model.encoder[-1].bias)
    )
    peer.encoder.embedding.weight.copy_(weights[0])
    peer.encoder.embedding.bias.copy_(biases[0])
    peer.encoder.log_var.weight.copy_(2.0 * weights[1])
    peer.encoder.log_var.bias.copy_(2.0 * (biases[1] + LOG_SCALE_START))
    offset = model.likelihood.offset(model.location)
    assert offset is not None
    peer.decoder.layers[-1].bias.add_(offset)


def test_the_same_weights_give_the_loss_of_pythae() -> None:
    model = ours()
    peer = peer_pythae.pythae_vae(SHAPE, model.config).double()
    copy_weights(model, peer)
    x: Tensor = (torch.rand(8, *SHAPE, generator=seeded(1)) < 0.4).double()
    with torch.no_grad():
        elbo = model.elbo(x, generator=seeded(4))
        code = peer.encoder(x)
        z = model.encode(x).sample(1, seeded(4))[0]["z"][0]
        decoded = peer.decoder(z)["reconstruction"]
        _, reconstruction, kl = peer.loss_function(
            decoded, x, code.embedding, code.log_covariance, z
        )
    torch.testing.assert_close(-elbo.reconstruction.mean(), reconstruction)
    torch.testing.assert_close(elbo.kl_terms["z"].mean(), kl)


def test_pythae_has_as_many_parameters() -> None:
    model = ours()
    peer = peer_pythae.pythae_vae(SHAPE, model.config)
    assert model.n_parameters == sum(parameter.numel() for parameter in peer.parameters())
