"""Relations in ArangoDB, by its own asynchronous driver."""

from dinoserve.adapters.arango.graph import ArangoGraph

__all__ = ["ArangoGraph"]
