"""CONV: sums of products, requantized and pooled."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from arch.formats import requantize
from arch.isa import Products, conv_results, group_steps
from quantizer.layout import unpack_params

from ..errors import SimulationError
from .state import CHUNK, State
from .steps import steps_of


__all__ = ("convolve",)


def convolve(state: State, fields: dict[str, int]) -> None:
    """Run a CONV; of two blocks, one after the other, their results in turn."""
    products = fields["products"]
    if products and not state.config.dual_products:
        raise SimulationError(f"The config has one product of a multiplier: {fields}")
    if fields.get("wide") and not fields["depthwise"]:
        raise SimulationError(f"Weights of two codes are for the window: {fields}")
    if Products(products).pairs and (fields["depthwise"] or fields["skip"]):
        raise SimulationError(f"Two products are for plain convolutions: {fields}")
    config = state.config
    steps = conv_results(fields)
    groups = fields["count_2"] * fields["count_3"] * fields["count_4"]
    if steps > config.acc_depth or fields["weight_row"] + groups > config.weight_depth:
        raise SimulationError(f"CONV needs more accumulators or weights: {fields}")
    tiles = state.weight[fields["weight_row"]:fields["weight_row"] + groups]
    tiles = tiles.view(f"<i{config.weight_size}")
    weights = tiles.reshape(groups, config.out_lanes, config.in_lanes).astype(np.float64)
    if products == Products.BLOCKS:
        totals = [
            _products(state, fields, part, groups, steps) for part in _halves(weights)]
    elif products == Products.TAPS:
        totals = [_tap_products(state, fields, weights, groups)]
    elif fields["depthwise"]:
        if fields.get("wide"):
            weights = _wide(state, fields, tiles.reshape(weights.shape))
        totals = [_window_products(state, fields, weights, groups, steps)]
    else:
        totals = [_products(state, fields, weights, groups, steps)]
    found = [
        _accumulate(state, fields, number, total)
        for number, total in zip(Products(products).targets, totals, strict=True)]
    if not fields["finish"]:
        return
    if fields.get("pool_kernel") or fields.get("pool_stride"):
        if len(found) > 1:
            raise SimulationError(f"A pooling takes one block at a time: {fields}")
        found = [_pooled(
            state, fields, found[0].reshape(fields["count_1"], -1, config.out_lanes))]
    rows = fields["row"] + np.arange(len(found[0])) * fields["row_step"]
    if len(rows):
        codes = np.stack(found, axis=1).reshape(-1, config.out_lanes)
        state.write((rows[:, None] + np.arange(len(found))).ravel(), codes)


def _products(
    state: State, fields: dict[str, int], weights: NDArray[np.float64], groups: int, steps: int
) -> NDArray[np.int64]:
    """Return the sum of products of all passes for every position, (steps, out_lanes)."""
    lanes = state.config.in_lanes
    words = state.feature.reshape(-1, lanes * state.config.code_size)
    total = np.zeros((steps, state.config.out_lanes))
    chunk = max(1, CHUNK // (steps * lanes))
    for first in range(0, groups, chunk):
        at = steps_of(fields, first, first + chunk)
        codes = state.codes(words[at.word % len(words)], fields["signed"]).astype(np.float64)
        codes[~at.inside] = 0
        count = len(at.word)
        matrix = weights[first:first + count].transpose(0, 2, 1).reshape(count * lanes, -1)
        total += codes.transpose(1, 0, 2).reshape(steps, -1) @ matrix
    return total.astype(np.int64)


def _window_products(
    state: State, fields: dict[str, int], weights: NDArray[np.float64], groups: int, steps: int
) -> NDArray[np.int64]:
    """Return what :func:`_products` returns, of a depthwise CONV."""
    lanes, per_row = state.config.out_lanes, state.config.words_per_row
    line, wrap = fields["count_0"], fields["wrap"]
    column = np.arange(group_steps(fields)) % line
    run = len(column) if wrap else line
    results = slice(fields["warm"], None, fields["skip"] + 1)
    total = np.zeros((steps, lanes))
    for group in range(groups):
        at = steps_of(fields, group, group + 1)
        rows = state.feature[at.word[0] // per_row % len(state.feature)]
        codes = np.zeros((len(column), lanes))
        codes[:rows.shape[0]] = state.codes(rows, fields["signed"])
        codes[:rows.shape[0]][~at.inside[0]] = 0
        for tap in range(state.config.window_taps):
            before = np.zeros_like(codes)
            before[tap:] = codes[:max(0, len(codes) - tap)]
            before[(column >= tap) == (column < wrap)] = 0
            taken = before.reshape(-1, run, lanes)[:, results].reshape(steps, lanes)
            total += taken * weights[group, :, tap]
    return total.astype(np.int64)


def _tap_products(
    state: State, fields: dict[str, int], weights: NDArray[np.float64], groups: int
) -> NDArray[np.int64]:
    """Return the sums of a CONV of two taps: the first's of this step, the second's before."""
    line, steps = fields["count_0"], fields["count_0"] * fields["count_1"]
    now, last = (
        _products(state, fields, part, groups, steps).reshape(-1, line, state.config.out_lanes)
        for part in _halves(weights))
    now[:, 1:] += last[:, :-1]
    return now[:, fields["warm"]:].reshape(-1, state.config.out_lanes)


def _halves(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the first and the second weights of pairs."""
    codes = weights.astype(np.int64)
    return ((codes & 15) - 8).astype(np.float64), (codes >> 4).astype(np.float64)


def _wide(state: State, fields: dict[str, int], tiles: NDArray[Any]) -> NDArray[np.float64]:
    """Return the weights of a CONV with one tap of two codes."""
    if state.config.weight_bits != 8 or state.config.window_taps < 2:
        raise SimulationError(f"The config has no weights of two codes: {fields}")
    weights = np.zeros(tiles.shape)
    weights[:, :, 0] = np.ascontiguousarray(tiles[:, :, :2]).view("<i2")[:, :, 0]
    return weights


def _accumulate(
    state: State, fields: dict[str, int], number: int, total: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Add to the accumulators of the first or second block; return them requantized."""
    config = state.config
    bias, shift, upper = (values[0] for values in unpack_params(
        state.param[fields["param_row"] + number].tobytes(), config.out_lanes))
    acc = state.acc[number, :len(total)]
    if fields["init"]:
        acc[:] = bias
    acc += total
    limit = 1 << (config.acc_bits - 1)
    # Sums of lanes whose weights are not there mean nothing.
    groups = fields["count_2"] * fields["count_3"] * fields["count_4"]
    lanes = state.lanes[fields["weight_row"]:fields["weight_row"] + groups].min()
    acc[:, lanes:] = (acc[:, lanes:] + limit) % (2 * limit) - limit
    if acc.min() < -limit or acc.max() >= limit:
        raise SimulationError(f"An accumulator overflows {config.acc_bits} bits: {fields}")
    half = 1 << (config.data_bits - 1)
    upper = upper & (2 * half - 1)
    if fields["lo"] < 0:
        upper = (upper ^ half) - half
    return requantize(acc, shift, fields["lo"], upper, config.rounding)


def _pooled(state: State, fields: dict[str, int], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the windows that end in some lines of results, (windows, out_lanes)."""
    kernel, stride = fields["pool_kernel"] + 1, fields["pool_stride"] + 1
    if kernel > stride + 1:
        raise SimulationError(f"Windows of a pooling overlap by more than one line: {fields}")
    phase, fresh = fields["pool_y"], bool(fields["pool_first"])
    found = []
    for number, line in enumerate(codes):
        last = number == len(codes) - 1
        across, _ = _maxima(line, None, kernel, stride, fields["pool_x"], fields["pool_right"])
        place = slice(fields["pool_row"], fields["pool_row"] + len(across))
        if len(state.lines[place]) != len(across):
            raise SimulationError(f"A line of a pooling is longer than its buffer: {fields}")
        before = None if fresh else state.lines[place]
        done, state.lines[place] = _maxima(
            across[None], before, kernel, stride, phase, last and fields["pool_bottom"])
        found += list(done)
        phase, fresh = (phase + 1) % stride, False
    return np.concatenate(found) if found else np.zeros((0, codes.shape[2]), np.int64)


def _maxima(
    codes: NDArray[np.int64], held: NDArray[np.int64] | None, kernel: int, stride: int,
    phase: int, flush: bool | int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the maxima of the windows that end along the first axis, and that of the last one.

    ``held`` is the maximum of the window so far, ``None`` at its start. Of windows that overlap
    the first position ends one and starts the next.
    """
    found = []
    for number, code in enumerate(codes):
        shared = kernel > stride and phase == 0
        ends = (shared and held is not None) or (kernel <= stride and phase == kernel - 1)
        whole = code if held is None or (phase == 0 and not shared) else np.maximum(held, code)
        if ends or (flush and number == len(codes) - 1):
            found.append(whole)
        held = code if phase == 0 else whole
        phase = (phase + 1) % stride
    assert held is not None
    return np.array(found).reshape(-1, *codes.shape[1:]), held
