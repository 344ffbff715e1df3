"""transformers' GPT-2 with random weights, built to match our Transformer, and its usual loop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from engine.models.autoregressive.transformer import Transformer


def gpt2_like(model: Transformer, *, tied: bool = True) -> Any:
    """GPT-2 with the layers, heads, width, context and symbols of ours, start symbol included.

    Args:
        model: Ours, over symbols, in natural order.
        tied: Whether the last layer has the embedding's weights, as in GPT-2; ours has its own.
    """
    own = model.config
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=own.levels + 1,
            n_positions=model.event_size,
            n_embd=own.width,
            n_layer=own.n_layers,
            n_head=own.n_heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
            tie_word_embeddings=tied,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def tokens_of(x: Tensor, levels: int) -> Tensor:
    """Sequences (B, T) behind the start symbol, without their last one, as GPT-2 reads them."""
    start = torch.full((len(x), 1), levels)
    return torch.cat([start, x[:, :-1].long()], 1)


def gpt2_loop(gpt2: Any, optimiser: torch.optim.Optimizer, batches: Iterable[Tensor]) -> None:
    """The loop of transformers' documentation: the loss comes with the labels."""
    for tokens in batches:
        loss = gpt2(input_ids=tokens, labels=tokens).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()


@torch.no_grad()
def copy_weights(model: Transformer, gpt2: Any) -> None:
    """Give GPT-2 (not tied) our weights; its last layer has no bias and one symbol more."""
    inner = gpt2.transformer
    inner.wte.weight.copy_(model.symbols.table)
    inner.wpe.weight.copy_(model.codes())
    gpt2.lm_head.weight.zero_()
    gpt2.lm_head.weight[:-1] = model.head.weight
    inner.ln_f.load_state_dict(model.net.norm.state_dict())
    for ours, theirs in zip(model.net.blocks, inner.h, strict=True):
        theirs.ln_1.load_state_dict(ours.norm_attention.state_dict())
        theirs.ln_2.load_state_dict(ours.norm_mlp.state_dict())
        pairs = (
            (ours.heads, theirs.attn.c_attn),
            (ours.mix, theirs.attn.c_proj),
            (ours.widen, theirs.mlp.c_fc),
            (ours.narrow, theirs.mlp.c_proj),
        )
        for layer, target in pairs:
            target.weight.copy_(layer.weight.t())
            target.bias.copy_(layer.bias)
