"""From a trained network to integers: import, format search, integer execution, export.

The names below are loaded when they are first used, so that importing the package is cheap;
``quantizer.execute.execute`` and ``quantizer.explain.explain`` have the names of their modules and
are imported from there.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from .errors import ModelError
    from .execute import quantize_input, run
    from .export import export_qdq, ort_tensors
    from .integers import layer_integers
    from .model import Limits, QuantizedModel
    from .onnx_import import load_graph
    from .overrides import load_overrides
    from .ranges import snr_db
    from .reference import FloatReference
    from .search import quantize
    from .storage import load, save


__all__ = (
    "FloatReference",
    "Limits",
    "ModelError",
    "QuantizedModel",
    "export_qdq",
    "layer_integers",
    "load",
    "load_graph",
    "load_overrides",
    "ort_tensors",
    "quantize",
    "quantize_input",
    "run",
    "save",
    "snr_db",
)


_MODULES = {
    "FloatReference": "reference",
    "Limits": "model",
    "ModelError": "errors",
    "QuantizedModel": "model",
    "export_qdq": "export",
    "layer_integers": "integers",
    "load": "storage",
    "load_graph": "onnx_import",
    "load_overrides": "overrides",
    "ort_tensors": "export",
    "quantize": "search",
    "quantize_input": "execute",
    "run": "execute",
    "save": "storage",
    "snr_db": "ranges",
}


def __getattr__(name: str) -> Any:
    """Import the module that a public name comes from."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
