"""Fixtures that every room's tests share."""

from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "dynafix" / "models"


def _shared(folder: str) -> Path:
    path = ROOT.parent / "shared" / folder
    if not path.is_dir():
        pytest.skip(f"needs networks and images that are not shipped: no folder ../shared/{folder}")
    return path


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """Folder of networks that are not shipped."""
    return _shared("models")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of images that are not shipped."""
    return _shared("data")


@pytest.fixture(scope="session")
def lenet() -> Path:
    """Return the shipped LeNet."""
    return MODELS / "lenet5_mnist.onnx"


@pytest.fixture(scope="session")
def mnist() -> Path:
    """Return the shipped images."""
    return MODELS / "mnist_1000.npz"
