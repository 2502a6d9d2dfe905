"""Bits spent where they help most: choices layer by layer under a budget.

Costs and noise of layers are taken as independent, so that those of a network are sums. What the
sums leave out is measured afterwards, on the network that results.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .errors import ModelError


__all__ = (
    "Choice",
    "Point",
    "best_within",
    "pareto_front",
)


@dataclass(frozen=True)
class Choice:
    """What a layer costs with a width.

    Parameters
    ----------
    bits : int
        Width.
    cost : float
        What the budget limits: bytes or cycles.
    noise : float
        What the width adds to the error of the network's output.
    """

    bits: int
    cost: float
    noise: float


@dataclass(frozen=True)
class Point:
    """A width for every layer, and the sums of what they cost.

    Parameters
    ----------
    bits : dict from name to int
        Width of each layer.
    cost, noise : float
        Sums over the layers.
    """

    bits: dict[str, int]
    cost: float
    noise: float


def _slope(dear: Choice, cheap: Choice) -> float:
    """Return the noise that each unit of cost saved brings."""
    return (cheap.noise - dear.noise) / (dear.cost - cheap.cost)


def _hull(choices: Sequence[Choice]) -> list[Choice]:
    """Return the choices that a linear trade of cost for noise can pick, from the dearest on."""
    hull: list[Choice] = []
    for choice in sorted(choices, key=lambda each: (each.cost, each.noise, -each.bits)):
        if hull and choice.noise >= hull[-1].noise:
            continue
        while len(hull) > 1 and _slope(choice, hull[-1]) >= _slope(hull[-1], hull[-2]):
            hull.pop()
        hull.append(choice)
    return hull[::-1]


def pareto_front(choices: Mapping[str, Sequence[Choice]]) -> list[Point]:
    """Return the assignments that no other beats, by a linear trade of cost for noise.

    Each point lowers one layer from the point before: the one that saves the most for the noise
    that it adds. These are the vertices of the convex hull of all assignments (Shoham and Gersho,
    "Efficient Bit Allocation for an Arbitrary Set of Quantizers", 1988).

    Parameters
    ----------
    choices : mapping from name to sequence of Choice
        What may be chosen for each layer, at least one each.

    Returns
    -------
    list of Point
        From the least noise to the least cost; both strictly monotone.

    Raises
    ------
    ModelError
        If a layer has no choice.
    """
    for name, each in choices.items():
        if not each:
            raise ModelError(f"layer '{name}' must have at least one width to choose from")
    hulls = {name: _hull(each) for name, each in choices.items()}
    steps = sorted(
        (_slope(dear, cheap), name, place + 1)
        for name, hull in hulls.items() for place, (dear, cheap) in enumerate(pairwise(hull)))
    chosen = dict.fromkeys(hulls, 0)
    points = [_point(hulls, chosen)]
    for _, name, place in steps:
        chosen[name] = place
        points.append(_point(hulls, chosen))
    return points


def _point(hulls: Mapping[str, list[Choice]], chosen: Mapping[str, int]) -> Point:
    found = {name: hull[chosen[name]] for name, hull in hulls.items()}
    return Point(
        {name: choice.bits for name, choice in found.items()},
        sum(choice.cost for choice in found.values()),
        sum(choice.noise for choice in found.values()))


def best_within(points: Sequence[Point], budget: float, unit: str) -> Point:
    """Return the point with the least noise that a budget allows.

    Parameters
    ----------
    points : sequence of Point
        Such as :func:`pareto_front` gives.
    budget : float
        Largest cost.
    unit : str
        Unit of the costs, for the message.

    Raises
    ------
    ModelError
        If every point costs more; tells the smallest budget that can be met.
    """
    allowed = [point for point in points if point.cost <= budget]
    if not allowed:
        least, given = (
            f"{cost:,.0f}".replace(",", " ")
            for cost in (min(point.cost for point in points), budget))
        raise ModelError(
            f"the budget must be at least {least} {unit}, which the narrowest widths take, "
            f"not {given}")
    return min(allowed, key=lambda point: (point.noise, point.cost))
