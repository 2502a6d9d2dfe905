"""One node of an ONNX file: attributes, and messages that name it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import onnx

from ..errors import NodeError


__all__ = ("OnnxNode",)


@dataclass(frozen=True)
class OnnxNode:
    """A node of an ONNX file.

    Parameters
    ----------
    file : str
        The file, for messages.
    label : str
        Unique name: the node's own, else that of its first output.
    proto : onnx.NodeProto
        The node.
    """

    file: str
    label: str
    proto: onnx.NodeProto

    @property
    def operator(self) -> str:
        """Type of the operator, with its domain when that is not the standard one."""
        if self.standard:
            return str(self.proto.op_type)
        return f"{self.proto.domain}::{self.proto.op_type}"

    @property
    def standard(self) -> bool:
        """Whether the operator is one of ONNX's own."""
        return not self.proto.domain

    @property
    def output(self) -> str:
        """Name of the first output."""
        return str(self.proto.output[0])

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """The attributes given, text as str."""
        values = {a.name: onnx.helper.get_attribute_value(a) for a in self.proto.attribute}
        return {k: v.decode() if isinstance(v, bytes) else v for k, v in values.items()}

    def attribute(self, name: str, default: Any) -> Any:
        """Return an attribute, ``default`` when it is not given."""
        return self.attributes.get(name, default)

    def pair(self, name: str) -> tuple[int, int]:
        """Return a pair of positive integers, (1, 1) when it is not given."""
        values = tuple(self.attribute(name, (1, 1)))
        if len(values) != 2 or min(values) < 1:
            raise self.error(f"{name} must be two positive integers, not {list(values)}")
        return values[0], values[1]

    def error(self, reason: str, advice: str = "") -> NodeError:
        """Return the error that says why this node cannot be imported."""
        return NodeError(f"{self.file}: node {self.label!r} ({self.operator})", reason, advice)
