"""Find where a graph comes apart: the values that its network's `PartsSpec` names by module."""

from __future__ import annotations

import onnx

from export.onnx_graph import Edges, module_path
from runtime.artifact.info import Parts
from runtime.errors import ArtifactError
from train.networks.registry import NetworkSpec


def find_parts(model: onnx.ModelProto, spec: NetworkSpec) -> Parts | None:
    """The names of the values, or None for a network that does not come apart."""
    if spec.parts is None:
        return None
    edges = Edges(model)
    return Parts(
        # The operator of `export.operators` ends with a mean; its side is twice a quotient.
        overview=_leaving(edges, spec.parts.overview, made_by="ReduceMean"),
        side=_leaving(edges, spec.parts.overview, made_by="Mul"),
        light=tuple(_leaving(edges, module) for module in spec.parts.light),
        points=spec.parts.points,
        halo=spec.parts.halo,
    )


def _leaving(edges: Edges, module: str, made_by: str | None = None) -> str:
    """The one value that is made in a module, by a node of a type, and used outside of it."""
    made = {
        name for node in edges.nodes if module_path(node) == module and made_by in (None, node.op_type) for name in node.output
    }
    used = {name for node in edges.nodes if module_path(node) != module for name in node.input}
    found = sorted(made & used)
    if len(found) != 1:
        raise ArtifactError(f"expected one value to leave {module}, found {len(found)}: {', '.join(found)}")
    return found[0]
