"""Every AQL text there is; what changes comes as bind variables.

Comparing strings, ArangoDB follows a language's collation. `TO_HEX` of text in UTF-8
has digits and a to f only, so that it sorts as code points in every one of them.
"""

from collections.abc import Mapping
from typing import Final

from dinoserve.domain.relations import Direction

NODES: Final = "dinoserve_nodes"
RELATIONS: Final = "dinoserve_relations"
STATE: Final = "dinoserve_state"
GRAPH: Final = "dinoserve"

_CHOOSE = """
FILTER LENGTH(@kinds) == 0 OR e.kind IN @kinds
FILTER e.weight >= @min_weight
"""

_STRONGEST = """
SORT e.weight DESC, TO_HEX(e.source), TO_HEX(e.target), TO_HEX(e.kind)
LIMIT @limit
RETURN [e.source, e.target, e.kind, e.weight]
"""

OUT: Final = f"""
FOR e IN {RELATIONS}
FILTER e._from IN @nodes {_CHOOSE} {_STRONGEST}"""

IN: Final = f"""
FOR e IN {RELATIONS}
FILTER e._to IN @nodes {_CHOOSE} {_STRONGEST}"""

ANY: Final = f"""
FOR e IN {RELATIONS}
FILTER e._from IN @nodes OR e._to IN @nodes {_CHOOSE} {_STRONGEST}"""

TOUCHING: Final[Mapping[Direction, str]] = {"out": OUT, "in": IN, "any": ANY}
"""Strongest relations of nodes: `nodes` (ids of documents), `kinds`, `min_weight`,
`limit`."""

GET: Final = f"""
FOR e IN {RELATIONS}
FILTER e._key IN @keys
RETURN UNSET(e, "_id", "_key", "_rev", "_from", "_to")"""
"""Documents of relations: `keys`."""

SCAN: Final = f"""
FOR e IN {RELATIONS} {_CHOOSE}
FILTER @collection == null OR e.collection == @collection
RETURN [e.source, e.target, e.kind, e.weight]"""
"""Every relation of a scope: `kinds`, `min_weight`, `collection`."""

REMOVE_KEYS: Final = f"""
FOR e IN {RELATIONS}
FILTER e._key IN @keys
REMOVE e IN {RELATIONS}
RETURN [OLD._from, OLD._to]"""
"""Remove relations, return their ends: `keys`."""

REMOVE_NODES: Final = f"""
FOR e IN {RELATIONS}
FILTER e._from IN @nodes OR e._to IN @nodes
REMOVE e IN {RELATIONS}
RETURN [OLD._from, OLD._to]"""
"""Remove the relations of nodes, return their ends: `nodes` (ids of documents)."""

PRUNE: Final = f"""
FOR n IN {NODES}
FILTER n._id IN @nodes
FILTER LENGTH(
  FOR e IN {RELATIONS} FILTER e._from == n._id OR e._to == n._id LIMIT 1 RETURN 1
) == 0
REMOVE n IN {NODES}"""
"""Remove nodes that no relation has: `nodes` (ids of documents)."""

IS_WHOLE: Final = f"""
FOR s IN {STATE}
FILTER s._key == "whole"
RETURN s.is_whole"""
"""What `SET_WHOLE` kept."""

SET_WHOLE: Final = f"""
UPSERT {{ _key: "whole" }}
INSERT {{ _key: "whole", is_whole: @is_whole }}
UPDATE {{ is_whole: @is_whole }}
IN {STATE}"""
"""Keep whether everything is there: `is_whole`."""

ALL: Final = (
    *TOUCHING.values(),
    *(GET, SCAN, REMOVE_KEYS, REMOVE_NODES, PRUNE, IS_WHOLE, SET_WHOLE),
)
