"""The package's own names."""

import subprocess
import sys

import pytest

import quantizer


@pytest.mark.parametrize("name", quantizer.__all__)
def test_public_name(name):
    assert getattr(quantizer, name).__name__ == name


def test_unknown_name():
    with pytest.raises(AttributeError, match="module 'quantizer' has no attribute 'quantise'"):
        _ = quantizer.quantise


def test_import_is_cheap():
    code = ("import sys, quantizer.execute, quantizer.layout, quantizer.search; "
            "print('onnx' in sys.modules, 'onnxruntime' in sys.modules)")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False False\n"
