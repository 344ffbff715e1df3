"""pythae's VAE, built to match ours in size, and its own trainer as its README calls it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn

from engine.nets.mlp import MLP, find_activation


class Encoder(BaseEncoder):
    """784 → hidden layers → mean and log-variance, the form that pythae's documentation gives."""

    def __init__(self, n_in: int, hidden: Sequence[int], n_out: int, activation: str) -> None:
        super().__init__()
        layers = MLP(n_in, hidden[:-1], hidden[-1], activation=activation)
        self.layers = nn.Sequential(*layers, find_activation(activation)())
        self.embedding = nn.Linear(hidden[-1], n_out)
        self.log_var = nn.Linear(hidden[-1], n_out)

    def forward(self, x: Tensor) -> Any:
        hidden = self.layers(x.flatten(1))
        return ModelOutput(embedding=self.embedding(hidden), log_covariance=self.log_var(hidden))


class Decoder(BaseDecoder):
    """Latents → hidden layers → probabilities, which pythae's binary cross-entropy wants."""

    def __init__(
        self, n_in: int, hidden: Sequence[int], shape: tuple[int, ...], activation: str
    ) -> None:
        super().__init__()
        self.shape = shape
        n_out = torch.Size(shape).numel()
        self.layers = MLP(n_in, hidden, n_out, activation=activation)

    def forward(self, z: Tensor) -> Any:
        return ModelOutput(reconstruction=self.layers(z).sigmoid().reshape(-1, *self.shape))


def pythae_vae(shape: tuple[int, ...], config: Any) -> Any:
    """A VAE with the layers of ours."""
    hidden, n_latents, kind = config.hidden_features, config.latent_features, config.activation
    size = torch.Size(shape).numel()
    return VAE(
        VAEConfig(input_dim=shape, latent_dim=n_latents, reconstruction_loss="bce"),
        encoder=Encoder(size, hidden, n_latents, kind),
        decoder=Decoder(n_latents, hidden[::-1], shape, kind),
    )


def pythae_trainer(
    model: Any,
    pictures: Tensor,
    folder: str,
    *,
    batch_size: int,
    learning_rate: float,
    fused: bool,
) -> Any:
    """Its trainer, ready to take an epoch by ``train_step``; Adam is its own default."""
    config = BaseTrainerConfig(
        output_dir=folder,
        learning_rate=learning_rate,
        per_device_train_batch_size=batch_size,
        optimizer_cls="Adam",
        optimizer_params={"fused": True} if fused else None,
        no_cuda=True,
    )
    labels = torch.zeros(len(pictures))
    trainer = BaseTrainer(model, BaseDataset(pictures, labels), training_config=config)
    trainer.prepare_training()
    return trainer


def one_epoch(trainer: Any) -> None:
    """One pass over its pictures, without validation and without saving; its bar is not shown."""
    with contextlib.redirect_stderr(io.StringIO()):
        trainer.train_step(1)
