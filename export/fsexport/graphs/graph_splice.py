"""Insert another ONNX graph into one that is being written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsengine.errors import ExportError
from fsexport.graphs.graph_builder import OPSET, GraphBuilder

if TYPE_CHECKING:
    import onnx


def read_network(path: Path) -> onnx.ModelProto:
    """Read an ONNX file and raise it to the project's opset.

    Raises:
        ExportError: It is no ONNX file, or cannot be raised.
    """
    import onnx
    from onnx import version_converter

    try:
        # Weights beside the file would be under no hash.
        model = onnx.load(path, load_external_data=False)
        if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
            raise ValueError("its weights lie in another file; save it as one (onnx.save without external data)")
        found = next(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
        network = model if found == OPSET else version_converter.convert_version(model, OPSET)
    except Exception as exc:  # onnx raises protobuf, checker and runtime errors alike
        raise ExportError(f"{path} cannot be read as an ONNX network of opset {OPSET} or older: {exc}") from exc
    _drop_unused_weights(network)
    return network


def _drop_unused_weights(network: onnx.ModelProto) -> None:
    """Remove weights that no node reads: training's counters, for example, which old exporters wrote."""
    used = {name for node in network.graph.node for name in node.input}
    kept = [initializer for initializer in network.graph.initializer if initializer.name in used]
    if len(kept) < len(network.graph.initializer):
        unused = {initializer.name for initializer in network.graph.initializer} - used
        inputs = [value for value in network.graph.input if value.name not in unused]
        del network.graph.initializer[:], network.graph.input[:]
        network.graph.initializer.extend(kept)
        network.graph.input.extend(inputs)


def network_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return a network's inputs without its weights, which old exporters list among them."""
    weights = {initializer.name for initializer in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def splice(
    graph: GraphBuilder, model: onnx.ModelProto, prefix: str, feeds: Mapping[str, str], outputs: Sequence[str]
) -> list[str]:
    """Insert a copy of a network.

    Copies share their weights.

    Args:
        graph: The graph being written.
        model: The network.
        prefix: Makes the names of this copy's values unique.
        feeds: Input of the network to the value that it is given.
        outputs: Values of the network to return.

    Returns:
        Their names in `graph`.
    """
    import onnx
    from onnx import numpy_helper

    names = dict(feeds)
    for initializer in model.graph.initializer:
        names[initializer.name] = graph.constant(numpy_helper.to_array(initializer), "weight")
    for node in model.graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = ""
        copy.doc_string = ""
        for index, name in enumerate(node.input):
            copy.input[index] = names[name] if name else ""
        for index, name in enumerate(node.output):
            names[name] = copy.output[index] = f"{prefix}{name}" if name else ""
        graph.nodes.append(copy)
    return [names[name] for name in outputs]
