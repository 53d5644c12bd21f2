"""Edits of an ONNX graph by the names of its tensors, which reach the graphs within its nodes (If, Loop, Scan)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and all those within its nodes (If, Loop, Scan)."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graphs(inner)


def rename(model: onnx.ModelProto, new: Mapping[str, str]) -> None:
    """Call tensors by other names, old -> new, wherever they are made or used. All graphs of a file share one set."""
    top, *inner = graphs(model.graph)
    for node in (node for graph in (top, *inner) for node in graph.node):
        for names in (node.input, node.output):
            names[:] = [new.get(name, name) for name in names]
    for value in (value for graph in inner for value in graph.output):  # the file's own output: `_put_shapes`
        value.name = new.get(value.name, value.name)


def drop_unused(model: onnx.ModelProto) -> None:
    """Take out nodes whose results nothing reads any more."""
    needed, kept = {"logits"}, []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input) | _read_within(node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    weights = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    inputs = [each for each in model.graph.input if each.name in needed]
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def _read_within(node: onnx.NodeProto) -> set[str]:
    """Names that the graphs within a node (If, Loop, Scan) read."""
    found: set[str] = set()
    for attribute in node.attribute:
        for graph in (inner for each in (attribute.g, *attribute.graphs) for inner in graphs(each)):
            found |= {name for inner in graph.node for name in inner.input} | {value.name for value in graph.output}
    return found
