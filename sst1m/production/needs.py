"""Which samples a stage of a production needs."""

from ..layout_mc import Particle, Role
from .plan import PlannedProduction
from .record import STAGES

__all__ = ["missing_samples"]

#: By stage: the samples without which it makes no sense, and why.
_NEEDS: dict[str, tuple[tuple[Particle, Role, str], ...]] = {
    "models": (("gamma_diffuse", "train", "the forests are trained with it"),),
    "irfs": (
        ("gamma_diffuse", "test", "responses are made from it"),
        ("proton_diffuse", "train", "without it no event has a gammaness"),
        ("proton_diffuse", "test", "the background of the responses is made from it"),
    ),
}


def missing_samples(planned: PlannedProduction, until: str) -> list[str]:
    """
    Say which samples a stage and those before it need, and the production does not have.

    Parameters
    ----------
    planned : PlannedProduction
        The production.
    until : str
        One of `STAGES`.
    """
    needs = [need for stage in STAGES[: STAGES.index(until) + 1] for need in _NEEDS.get(stage, ())]
    return [
        f"particles.{particle}.{role} ({reason})"
        for particle, role, reason in needs
        if not planned.has(particle, role)
    ]
