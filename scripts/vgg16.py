"""Write VGG-16 with random weights as an ONNX file, for measurements of speed.

Example::

    python scripts/vgg16.py vgg16_convolutions.onnx --convolutions
    python scripts/vgg16.py vgg16_rank500.onnx --rank 500
"""

import argparse
import math
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


__all__ = ("vgg16",)


CHANNELS = (64, 64, None, 128, 128, None, 256, 256, 256, None, 512, 512, 512, None, 512, 512, 512,
            None)
"""Output channels of each convolution; ``None`` is a maximum pooling."""

FEATURES = (4096, 4096, 1000)
"""Outputs of each fully connected layer."""


class _Builder:
    """Adds layers one after the other."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.tensor = "image"

    def add(self, operator: str, name: str, *inputs: str, **attributes: object) -> None:
        """Add a node after the last one."""
        self.nodes.append(helper.make_node(
            operator, [self.tensor, *inputs], [name], name, **attributes))
        self.tensor = name

    def weighted(self, operator: str, name: str, *shape: int, **attributes: object) -> None:
        """Add a node with random weights of ``shape`` and zero biases."""
        scale = math.sqrt(2 / math.prod(shape[1:]))
        weight = self._rng.standard_normal(shape, np.float32) * np.float32(scale)
        for suffix, values in (("weight", weight), ("bias", np.zeros(shape[0], np.float32))):
            self.initializers.append(numpy_helper.from_array(values, f"{name}.{suffix}"))
        self.add(operator, name, f"{name}.weight", f"{name}.bias", **attributes)


def vgg16(
    *, convolutions_only: bool = False, rank: int | None = None, size: int = 224, seed: int = 0
) -> onnx.ModelProto:
    """Return VGG-16, configuration D of Simonyan and Zisserman, with random weights.

    Parameters
    ----------
    convolutions_only : bool
        Whether the network ends with the last pooling.
    rank : int, optional
        Rank of fc6, which becomes two layers, as if by a truncated singular value decomposition;
        the full matrix when left out. Source: Qiu et al., Going Deeper with Embedded FPGA
        Platform for Convolutional Neural Network, FPGA 2016, which takes 500.
    size : int
        Lines and columns of the image, a multiple of 32.
    seed : int
        Seed of the weights: normal, scaled by ``sqrt(2 / fan-in)``; biases are 0.

    Returns
    -------
    onnx.ModelProto
        Network from ``image`` (N, 3, size, size).
    """
    builder = _Builder(seed)
    channels, stage, number = 3, 1, 1
    for kernels in CHANNELS:
        if kernels is None:
            builder.add("MaxPool", f"pool{stage}", kernel_shape=[2, 2], strides=[2, 2])
            stage, number = stage + 1, 1
            continue
        builder.weighted(
            "Conv", f"conv{stage}_{number}", kernels, channels, 3, 3, pads=[1, 1, 1, 1])
        builder.add("Relu", f"relu{stage}_{number}")
        channels, number = kernels, number + 1
    dims: list[str | int] = ["N", channels, size // 32, size // 32]
    if not convolutions_only:
        builder.add("Flatten", "flatten")
        inputs = channels * (size // 32) ** 2
        for index, outputs in enumerate(FEATURES):
            if rank is not None and index == 0:
                builder.weighted("Gemm", "fc6_v", rank, inputs, transB=1)
                inputs = rank
            builder.weighted("Gemm", f"fc{index + 6}", outputs, inputs, transB=1)
            if index < len(FEATURES) - 1:
                builder.add("Relu", f"relu{index + 6}")
            inputs = outputs
        dims = ["N", inputs]
    graph = helper.make_graph(
        builder.nodes, "vgg16",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, size, size])],
        [helper.make_tensor_value_info(builder.tensor, TensorProto.FLOAT, dims)],
        builder.initializers)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Write VGG-16 with random weights as ONNX.")
    parser.add_argument("output", type=Path, help="ONNX file to write")
    parser.add_argument(
        "--convolutions", action="store_true", help="leave out the fully connected layers")
    parser.add_argument("--rank", type=int, help="rank of fc6, as two layers (default: whole)")
    parser.add_argument("--size", type=int, default=224, help="lines of the image")
    arguments = parser.parse_args()
    model = vgg16(
        convolutions_only=arguments.convolutions, rank=arguments.rank, size=arguments.size)
    onnx.save(model, arguments.output)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
