"""Layers that the quantizer knows and the compiler does not."""

import re

import numpy as np
import pytest

from arch.config import preset
from compiler import CompileError, compile_model
from quantizer.graph import Activation, Add, Mul, Pool, PRelu, Window
from tests.quantizer.networks import make_graph, quantized


@pytest.mark.parametrize(("node", "what"), [
    (Mul("odd", ("x", "x"), "y"), "Mul"),
    (Mul("odd", ("x", "mean_out"), "y"), "Mul"),
    (Add("odd", ("x", "mean_out"), "y"), "Add of a channel vector"),
    (PRelu("odd", ("x",), "y", slope=np.full(3, 0.1)), "PRelu"),
    (Activation("odd", ("x",), "y", kind="tanh"), "Activation"),
], ids=range(5))
def test_refused(node, what):
    mean = Pool("mean", ("x",), "mean_out", window=Window((4, 4)))
    model = quantized(make_graph((3, 4, 4), [mean, node]))
    message = (
        f"Layer 'odd': {what} cannot run on the accelerator; Conv, Pool, Add, Concat and Slice can")
    with pytest.raises(CompileError, match=f"^{re.escape(message)}$"):
        compile_model(model, preset("tiny"))
