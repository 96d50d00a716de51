"""The networks, one file each, and the registry that lists them."""

from train.networks.registry import NETWORKS, NetworkSpec, get_spec

__all__ = ["NETWORKS", "NetworkSpec", "get_spec"]
