"""What must hold for each capability, as plain functions: used by the tests and by the doctor.

A law takes a model and a generator. It returns when it holds, raises :class:`LawBroken` with a
sentence and its figures when it does not, and :class:`NotTestable` where it cannot tell.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from engine.capabilities import capabilities_of
from engine.laws import density, energy, latent, path
from engine.laws.base import Law, LawBroken, NotTestable
from engine.model import GenerativeModel
from engine.wire.capability import Capability

LAWS: tuple[Law, ...] = (*density.LAWS, *latent.LAWS, *path.LAWS, *energy.LAWS)


@dataclass(frozen=True)
class LawResult:
    """The outcome of one law on one model.

    Attributes:
        law: Its name.
        capability: What it belongs to.
        passed: False only where the law is broken.
        message: What was found, or why it could not be tested; empty when it holds.
        tested: False where the law does not apply to this model.
    """

    law: str
    capability: Capability
    passed: bool
    message: str = ""
    tested: bool = True


def laws_for(model: type[GenerativeModel]) -> tuple[Law, ...]:
    """The laws of the capabilities that a model class has."""
    owned = capabilities_of(model)
    return tuple(law for law in LAWS if law.capability in owned)


def check_model(model: GenerativeModel, generator: torch.Generator) -> list[LawResult]:
    """Test every law of a model's capabilities on a float64 copy of it, on the CPU.

    An exception of the model's own breaks the law that met it; the others are still tested.
    """
    subject = copy.deepcopy(model).cpu().double().eval()
    return [_check(law, subject, generator) for law in laws_for(type(model))]


def _check(law: Law, model: GenerativeModel, generator: torch.Generator) -> LawResult:
    try:
        law.check(model, generator)
    except NotTestable as reason:
        return LawResult(law.name, law.capability, True, str(reason), tested=False)
    except LawBroken as finding:
        return LawResult(law.name, law.capability, False, str(finding))
    except Exception as error:
        sentence = f"{type(error).__name__}: {error}"
        return LawResult(law.name, law.capability, False, sentence)
    return LawResult(law.name, law.capability, True)


__all__ = ["LAWS", "Law", "LawBroken", "LawResult", "NotTestable", "check_model", "laws_for"]
