"""The operators that can be imported: the one list of what is supported."""

from collections.abc import Callable

from ...errors import NodeError
from ..context import Context
from ..node import OnnxNode
from . import (
    activation,
    concat,
    conv,
    conv_transpose,
    dense,
    elementwise,
    layout,
    lrn,
    pad,
    pool,
    resize,
    slice,
    softmax,
)


__all__ = (
    "HINTS",
    "OPERATORS",
    "unsupported",
)


Converter = Callable[[Context, OnnxNode], None]

OPERATORS: dict[str, Converter] = {
    "Add": elementwise.convert_add,
    "AveragePool": pool.convert_average_pool,
    "BatchNormalization": elementwise.convert_batch_normalization,
    "Cast": layout.convert_cast,
    "Clip": elementwise.convert_clip,
    "Concat": concat.convert_concat,
    "Conv": conv.convert_conv,
    "ConvTranspose": conv_transpose.convert_conv_transpose,
    "Div": elementwise.convert_div,
    "Dropout": layout.convert_dropout,
    "Flatten": layout.convert_reshape,
    "Gemm": dense.convert_gemm,
    "GlobalAveragePool": pool.convert_global_average_pool,
    "GlobalMaxPool": pool.convert_global_max_pool,
    "HardSigmoid": activation.convert_hard_sigmoid,
    "HardSwish": activation.convert_hard_swish,
    "Identity": layout.convert_identity,
    "LRN": lrn.convert_lrn,
    "LeakyRelu": activation.convert_leaky_relu,
    "MatMul": dense.convert_matmul,
    "Max": elementwise.convert_max,
    "MaxPool": pool.convert_max_pool,
    "Min": elementwise.convert_min,
    "Mul": elementwise.convert_mul,
    "PRelu": activation.convert_prelu,
    "Pad": pad.convert_pad,
    "ReduceMean": pool.convert_reduce_mean,
    "Relu": elementwise.convert_relu,
    "Reshape": layout.convert_reshape,
    "Resize": resize.convert_resize,
    "Shape": layout.convert_shape,
    "Sigmoid": activation.convert_sigmoid,
    "Slice": slice.convert_slice,
    "Softmax": softmax.convert_softmax,
    "Split": slice.convert_split,
    "Squeeze": layout.convert_reshape,
    "Sub": elementwise.convert_sub,
    "Tanh": activation.convert_tanh,
    "Transpose": layout.convert_transpose,
    "Unsqueeze": layout.convert_reshape,
    "Upsample": resize.convert_resize,
}

_ACTIVATION = "train with Relu, LeakyRelu, HardSwish or SiLU instead"
_QUANTIZED = "give the float network, it is quantized here, or take it as it is with 'import'"

HINTS: dict[str, str] = {
    "DequantizeLinear": _QUANTIZED,
    "Elu": _ACTIVATION,
    "Gelu": _ACTIVATION,
    "LogSoftmax": "end the network before it, or with Softmax",
    "Mish": _ACTIVATION,
    "QLinearConv": _QUANTIZED,
    "QuantizeLinear": _QUANTIZED,
    "Softplus": _ACTIVATION,
}


def unsupported(node: OnnxNode) -> NodeError:
    """Return the error for an operator that has no converter."""
    hint = HINTS.get(node.operator)
    return node.error("the operator is not supported" + (f": {hint}" if hint else ""),
                      f"supported are {', '.join(OPERATORS)}, and any operator on constants")
