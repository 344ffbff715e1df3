"""Gaussians with full covariances: safe factors and densities of many at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Added to a covariance that has no Cholesky factor, tenfold more at each try.
FIRST_JITTER = 1e-12
N_JITTERS = 12
STRUCTURES = ("full", "diagonal", "spherical")


def cholesky(covariances: Tensor) -> Tensor:
    """Lower factors of (K, D, D); a little is added to the diagonal of those that have none.

    Raises:
        ValueError: A covariance holds NaN or infinity, or is far from positive semi-definite.
    """
    covariances = covariances.clone()
    eye = torch.eye(covariances.shape[-1], dtype=covariances.dtype, device=covariances.device)
    for power in range(N_JITTERS):
        factors: Tensor
        factors, info = torch.linalg.cholesky_ex(covariances)
        if not bool(info.any()) and bool(factors.isfinite().all()):
            return factors
        covariances += FIRST_JITTER * 10.0**power * eye * (info > 0)[:, None, None]
    raise ValueError("covariance: given a matrix that is not positive semi-definite or not finite")


def gaussian_log_prob(x: Tensor, means: Tensor, scale_tril: Tensor) -> Tensor:
    """log N(x; μ_k, L_k L_kᵀ) of points (B, D) under K Gaussians, (B, K), nats."""
    size = x.shape[-1]
    eye = torch.eye(size, dtype=x.dtype, device=x.device).expand_as(scale_tril)
    inverse = torch.linalg.solve_triangular(scale_tril, eye, upper=False)  # (K, D, D)
    offset = (inverse @ means.unsqueeze(-1)).mT  # (K, 1, D)
    z = x @ inverse.mT - offset  # (K, B, D)
    log_det = scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    constant = -0.5 * size * math.log(2.0 * math.pi) - log_det
    densities: Tensor = constant[:, None] - 0.5 * z.square().sum(-1)  # (K, B)
    return densities.mT


def shaped_covariance(covariances: Tensor, structure: str, scale: Tensor) -> Tensor:
    """Keep of covariances (K, D, D) what a structure allows.

    Args:
        covariances: In units of ``scale``.
        structure: ``"full"``, ``"diagonal"`` or ``"spherical"`` (round in the units of the data:
            the mean of its variances).
        scale: (D,), how many units of the data one unit of each coordinate is.

    Raises:
        ValueError: The structure is unknown.
    """
    if structure == "full":
        return covariances
    variances = covariances.diagonal(dim1=-2, dim2=-1)
    if structure == "diagonal":
        return torch.diag_embed(variances)
    if structure == "spherical":
        square = scale.to(variances.dtype).square()
        mean = (variances * square).mean(-1, keepdim=True)
        return torch.diag_embed(mean / square)
    raise ValueError(f"covariance: given '{structure}', wanted one of {', '.join(STRUCTURES)}")


def floored_covariance(covariances: Tensor, floor: Tensor) -> Tensor:
    r"""The likeliest covariances that are nowhere below a floor.

    .. math:: \arg\max_{\Sigma \succeq F} -\log|\Sigma| - \operatorname{tr}(\Sigma^{-1} S)

    raises the eigenvalues of F^(-1/2) S F^(-1/2) that are below 1 to 1, so that an EM whose M-step
    ends here still never lowers the likelihood.

    Args:
        covariances: S, (K, D, D), float64.
        floor: (D,), the diagonal of F, above 0.
    """
    below = torch.linalg.cholesky_ex(covariances - torch.diag(floor)).info > 0
    if not bool(below.any()):
        return covariances
    root = floor.sqrt()
    values, vectors = torch.linalg.eigh(covariances[below] / (root[:, None] * root))
    raised = (vectors * values.clamp_min(1.0).unsqueeze(-2)) @ vectors.mT
    found = covariances.clone()
    found[below] = raised * (root[:, None] * root)
    return found
