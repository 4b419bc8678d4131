"""What is called of the library to build an engine: the names and types that a test compares.

Whatever can fail answers None or False and logs; nothing here raises. What only the just-in-time
library has stands in a class of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from denoisert.runtime.engines.tensorrt.interface import Member


class ITensor(Protocol):
    """A value of a network; a length that varies is -1."""

    name: str
    shape: Sequence[int]
    dtype: Member

    def get_dimension_name(self, index: int) -> str | None:
        """Of an input's axis."""
        ...


class ILayer(Protocol):
    """A node of a network."""

    name: str
    type: object
    num_outputs: int

    def get_output(self, index: int) -> ITensor | None:
        """One of its results."""
        ...


class IAttention(Protocol):
    """What an attention's layers have in common."""

    decomposable: bool


class IAttentionInputLayer(ILayer, Protocol):
    """The layer at which an attention begins."""

    attention: IAttention


class INetworkDefinition(Protocol):
    """A parsed graph."""

    num_inputs: int
    num_layers: int

    def get_input(self, index: int) -> ITensor:
        """In the graph's order."""
        ...

    def get_layer(self, index: int) -> ILayer:
        """In the graph's order."""
        ...


class IOptimizationProfile(Protocol):
    """Least, usual and largest shape of every input."""

    def set_shape(
        self, name: str, least: Sequence[int], usual: Sequence[int], most: Sequence[int]
    ) -> None:
        """Of one input."""
        ...


class IBuilderConfig(Protocol):
    """What a build is told."""

    progress_monitor: object
    hardware_compatibility_level: object

    def set_flag(self, flag: object) -> None:
        """A member of `BuilderFlag`."""
        ...

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        """Its number, -1 where it is refused."""
        ...


class JustInTimeConfig(IBuilderConfig, Protocol):
    """What a just-in-time library's configuration has beside."""

    num_compute_capabilities: int

    def set_compute_capability(self, capability: object, index: int) -> bool:
        """A member of `ComputeCapability`; their number comes first."""
        ...


class ParserError(Protocol):
    """One thing that is wrong with a graph."""

    def code(self) -> Member:
        """A member of `ErrorCode`."""
        ...

    def desc(self) -> str:
        """The library's words."""
        ...

    def node(self) -> int:
        """Number of the node, -1 where it is none."""
        ...

    def node_name(self) -> str:
        """Of the node."""
        ...

    def node_operator(self) -> str:
        """Of the node."""
        ...


class OnnxParser(Protocol):
    """Reads ONNX into a network."""

    num_errors: int

    def parse(self, model: bytes, path: str) -> bool:
        """Locations of weights are relative to the folder of `path`."""
        ...

    def get_error(self, index: int) -> ParserError:
        """In the graph's order."""
        ...


class Builder(Protocol):
    """Makes networks, configurations and engines."""

    def create_network(self, flags: int) -> INetworkDefinition:
        """An empty one."""
        ...

    def create_builder_config(self) -> JustInTimeConfig:
        """The ordinary one."""
        ...

    def create_optimization_profile(self) -> IOptimizationProfile:
        """An empty one."""
        ...

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> memoryview | None:
        """The engine as a buffer."""
        ...
