"""Rules that the parameters of an accelerator must keep."""

from typing import TYPE_CHECKING

from .formats import Rounding


if TYPE_CHECKING:
    from .config import AcceleratorConfig


__all__ = ("check_rules",)


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def check_rules(config: "AcceleratorConfig") -> None:
    """Raise ``ValueError``, which names the parameter, unless all values suit each other."""
    if config.rounding not in tuple(Rounding):
        raise ValueError(
            f"rounding must be one of {', '.join(Rounding)}, not {config.rounding!r}")
    for field in (
        "in_lanes", "out_lanes", "feature_depth", "feature_banks", "weight_depth",
        "param_depth", "acc_depth", "dram_width", "burst_length",
    ):
        value = getattr(config, field)
        if not _is_power_of_two(value):
            raise ValueError(f"{field} must be a power of two, not {value!r}")
    if config.pool_depth and not (
            16 <= config.pool_depth <= 512 and _is_power_of_two(config.pool_depth)):
        raise ValueError(
            f"pool_depth must be 0 or a power of two in 16..512, not {config.pool_depth}")
    for field, least, most in (
        ("in_lanes", 1, 256), ("out_lanes", 4, 256), ("depthwise_taps", 0, 16),
        ("feature_depth", 64, 1 << 18), ("feature_banks", 1, 16),
        ("weight_depth", 16, 1 << 16), ("param_depth", 4, 4096), ("acc_depth", 16, 1 << 14),
        ("unroll_size", 0, 1 << 16),
        ("address_bits", 12, 32), ("loop_bits", 4, 12), ("dram_width", 4, 64),
        ("burst_length", 1, 256),
    ):
        value = getattr(config, field)
        if not least <= value <= most:
            raise ValueError(f"{field} must be in {least}..{most}, not {value}")
    if config.layer_depth and not (
            2 <= config.layer_depth <= 4096 and _is_power_of_two(config.layer_depth)):
        raise ValueError(
            f"layer_depth must be 0 or a power of two in 2..4096, not {config.layer_depth}")
    _check_widths(config)
    _check_order(config)
    if config.table_lanes and not (
            _is_power_of_two(config.table_lanes) and config.table_lanes <= config.out_lanes):
        raise ValueError(
            f"table_lanes must be 0 or a power of two of at most out_lanes "
            f"({config.out_lanes}), not {config.table_lanes}")
    if config.unroll_size and not (
            _is_power_of_two(config.unroll_size) and config.unroll_size >= 4 * config.dram_width):
        raise ValueError(
            f"unroll_size must be 0 or a power of two of at least {4 * config.dram_width}, "
            f"not {config.unroll_size}")
    if config.out_lanes < config.in_lanes:
        raise ValueError(
            f"out_lanes must be at least in_lanes ({config.in_lanes}), not {config.out_lanes}")
    if config.feature_words > 1 << 19:
        raise ValueError(
            f"feature memory must have at most {1 << 19} words, not {config.feature_words}")
    if config.row_size % config.dram_width:
        raise ValueError(
            f"dram_width must divide a row of {config.row_size} bytes, not {config.dram_width}")
    if config.weight_row_size % config.dram_width:
        raise ValueError(
            f"dram_width must divide a weight tile of {config.weight_row_size} bytes, "
            f"not {config.dram_width}")
    if config.dram_width * config.burst_length > 4096:
        raise ValueError(
            f"dram_width * burst_length must be at most 4096 bytes, "
            f"not {config.dram_width * config.burst_length}")


def _check_widths(config: "AcceleratorConfig") -> None:
    """Check the widths of codes and accumulators."""
    if config.data_bits not in (8, 16):
        raise ValueError(f"data_bits must be 8 or 16, not {config.data_bits!r}")
    widths = (8,) if config.data_bits == 8 else (8, 16)
    if config.weight_bits not in widths:
        raise ValueError(
            f"weight_bits must be {' or '.join(map(str, widths))} with {config.data_bits}-bit "
            f"data, not {config.weight_bits!r}")
    if config.dual_products and (config.data_bits, config.weight_bits) != (8, 8):
        raise ValueError(
            f"dual_products needs 8-bit data and 8-bit weights, not {config.data_bits}-bit "
            f"data and {config.weight_bits}-bit weights")
    sums = (24, 32) if config.data_bits == 8 else (48,)
    if config.acc_bits not in sums:
        raise ValueError(
            f"acc_bits must be {' or '.join(map(str, sums))} with {config.data_bits}-bit data, "
            f"not {config.acc_bits!r}")


def _check_order(config: "AcceleratorConfig") -> None:
    """Check what needs one instruction after the other, and what does without others."""
    if config.in_order and config.dram_width * config.burst_length < 64:
        raise ValueError(
            f"in_order needs a dram_width * burst_length of at least 64 bytes, "
            f"not {config.dram_width * config.burst_length}")
    if config.address_bits < 32 and not config.in_order:
        raise ValueError(
            f"address_bits must be 32 without in_order, not {config.address_bits}")
    if config.wire_registers and config.in_order:
        raise ValueError("wire_registers must be false with in_order, not true")
    if config.table_lanes and not config.vector_unit:
        raise ValueError(
            f"table_lanes must be 0 without vector_unit, not {config.table_lanes}")
    lanes = config.requantizer_lanes
    if lanes and not (_is_power_of_two(lanes) and lanes <= config.out_lanes):
        raise ValueError(
            f"requantizer_lanes must be 0 or a power of two of at most out_lanes "
            f"({config.out_lanes}), not {lanes}")
    if config.requantizer_steps > 1 and not (
            config.in_order and not config.vector_unit and not config.dual_products
            and config.data_bits == 8 and config.dram_width <= 8):
        raise ValueError(
            f"requantizer_lanes must be 0 or {config.out_lanes}, not {lanes}, unless there is "
            "in_order, no vector_unit, no dual_products, 8-bit data, and a dram_width of at "
            "most 8")
