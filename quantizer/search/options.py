"""What the user chooses for a search."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from ..errors import ModelError
from ..overrides import BITS
from .rules import RangeRule


__all__ = (
    "Options",
    "Precision",
    "Progress",
    "WeightRounding",
)


Precision = Literal["dynamic", "static"]
WeightRounding = Literal["nearest", "feedback", "learned"]
Progress = Callable[[str, int, int], object]


@dataclass(frozen=True)
class Options:
    """Widths and rules of a search.

    Parameters
    ----------
    data_bits, weight_bits : int
        Widths, 2 to 16.
    first_last_bits : int, optional
        Width of the weights of the first and the last convolution, of the input and of the
        network's result, in place of the others.
    precision : "dynamic" or "static"
        A fractional length for each tensor, or one for all data and one for all weights.
    ranges : str
        What makes a fractional length the best, see ``quantizer.search.rules``.
    per_channel : bool
        A fractional length for each output channel of the weights.
    weight_rounding : "nearest", "feedback" or "learned"
        How weights become integers, see ``quantizer.search.rounding``.
    refine : bool
        Whether to go on from the search, by the error of the network's output.
    widths : mapping from name to int
        Widths of single tensors, or of the weights of single convolutions, as
        ``quantizer.widths.check_widths`` returns them, in place of the others.
    fit_ends : bool
        Offsets and factors of the input and of the result, see ``quantizer.prepare``.
    absorb : bool
        Constants that channels lose before a Relu and get back in the next biases, see
        ``quantizer.prepare``.
    equalize : bool
        Factors for each channel, see ``quantizer.prepare``.
    correct : bool
        Biases that take away what rounding adds on average.
    fuse_add : bool
        Whether convolutions do the Adds behind them, where they can.

    Raises
    ------
    ModelError
        If a value breaks its rule.
    """

    data_bits: int = 8
    weight_bits: int = 8
    first_last_bits: int | None = None
    precision: Precision = "dynamic"
    ranges: str = "l2"
    per_channel: bool = False
    weight_rounding: WeightRounding = "nearest"
    refine: bool = False
    widths: Mapping[str, int] = field(default_factory=dict)
    fit_ends: bool = False
    absorb: bool = False
    equalize: bool = False
    correct: bool = False
    fuse_add: bool = True

    def __post_init__(self) -> None:
        """Check every rule."""
        for name in ("data_bits", "weight_bits", "first_last_bits"):
            value = getattr(self, name)
            if name == "first_last_bits" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value not in BITS:
                raise ModelError(f"{name} must be in {BITS[0]}..{BITS[-1]}, not {value!r}")
        for name, kind in (("precision", Precision), ("weight_rounding", WeightRounding)):
            if getattr(self, name) not in get_args(kind):
                *names, last = get_args(kind)
                raise ModelError(
                    f"{name} must be {', '.join(names)} or {last}, not {getattr(self, name)!r}")
        RangeRule.parse(self.ranges)
        if self.precision == "static" and self.refine:
            raise ModelError(
                "refine must be off with static precision, which has one fractional length for "
                "all data")
        if self.precision == "static" and self.per_channel:
            raise ModelError(
                "per_channel must be off with static precision, which has one fractional length "
                "for all weights")

    @property
    def rule(self) -> RangeRule:
        """The rule for ranges."""
        return RangeRule.parse(self.ranges)

    @property
    def widest(self) -> int:
        """Widest code, in bits."""
        return max(
            self.data_bits, self.weight_bits, self.first_last_bits or 0, *self.widths.values())
