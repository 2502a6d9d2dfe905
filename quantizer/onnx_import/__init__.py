"""ONNX file in, :class:`~quantizer.graph.Graph` out: every operator is refused or right.

``reader`` gets the part of the file that the wanted output needs; ``importer`` walks its nodes
and lets ``operators`` turn each into nodes of the graph; ``patterns`` finds the activations that a
file spells out; ``fuse`` merges what the accelerator computes in one step. Each of them leaves a
network that computes the same.
"""

from .importer import load_graph


__all__ = ("load_graph",)
