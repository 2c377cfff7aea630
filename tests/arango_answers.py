"""What the double of ArangoDB answers to each AQL text that it knows."""

import re
from collections.abc import Callable
from typing import Any

from arango_tables import Document, RefusedError, View
from dinoserve.adapters.arango import queries
from dinoserve.adapters.arango.queries import NODES, RELATIONS, STATE

Bound = dict[str, Any]
_BIND = re.compile(r"@(\w+)")


def answer(view: View, query: str, bound: Bound) -> list[Any]:
    """Return the rows of a query; refuse what is not known word for word."""
    if query not in _ANSWERS:
        raise RefusedError(400, 1501, "syntax error, unexpected query")
    wanted = set(_BIND.findall(query))
    if missing := wanted - set(bound):
        raise RefusedError(400, 1551, f"no value for bind parameter {missing}")
    if other := set(bound) - wanted:
        raise RefusedError(400, 1552, f"bind parameter {other} was not declared")
    return _ANSWERS[query](view, bound)


def _row(edge: Document) -> list[Any]:
    return [edge["source"], edge["target"], edge["kind"], edge["weight"]]


def _is_chosen(edge: Document, bound: Bound) -> bool:
    kinds = bound["kinds"]
    return edge["weight"] >= bound["min_weight"] and (
        not kinds or edge["kind"] in kinds
    )


def _touching(*ends: str) -> Callable[[View, Bound], list[Any]]:
    def rows(view: View, bound: Bound) -> list[Any]:
        nodes = set(bound["nodes"])
        found = [
            _row(edge)
            for edge in view.all(RELATIONS)
            if any(edge[end] in nodes for end in ends) and _is_chosen(edge, bound)
        ]
        hexed = [(-row[3], *(text.encode().hex() for text in row[:3])) for row in found]
        order = sorted(range(len(found)), key=hexed.__getitem__)
        return [found[at] for at in order[: bound["limit"]]]

    return rows


def _get(view: View, bound: Bound) -> list[Any]:
    hidden = {"_id", "_key", "_rev", "_from", "_to"}
    found = [view.get(RELATIONS, key) for key in bound["keys"]]
    return [
        {name: value for name, value in each.items() if name not in hidden}
        for each in found
        if each
    ]


def _scan(view: View, bound: Bound) -> list[Any]:
    collection = bound["collection"]
    return [
        _row(edge)
        for edge in view.all(RELATIONS)
        if _is_chosen(edge, bound) and collection in {None, edge["collection"]}
    ]


def _remove(view: View, edges: list[Document]) -> list[Any]:
    for edge in edges:
        view.remove(RELATIONS, edge["_key"])
    return [[edge["_from"], edge["_to"]] for edge in edges]


def _remove_keys(view: View, bound: Bound) -> list[Any]:
    found = [view.get(RELATIONS, key) for key in bound["keys"]]
    return _remove(view, [edge for edge in found if edge])


def _remove_nodes(view: View, bound: Bound) -> list[Any]:
    nodes = set(bound["nodes"])
    edges = [e for e in view.all(RELATIONS) if nodes & {e["_from"], e["_to"]}]
    return _remove(view, edges)


def _prune(view: View, bound: Bound) -> list[Any]:
    used = {edge[end] for edge in view.all(RELATIONS) for end in ("_from", "_to")}
    for handle in bound["nodes"]:
        key = handle.partition("/")[2]
        if handle not in used and view.get(NODES, key):
            view.remove(NODES, key)
    return []


def _is_whole(view: View, _: Bound) -> list[Any]:
    return [each["is_whole"] for each in view.all(STATE) if each["_key"] == "whole"]


def _set_whole(view: View, bound: Bound) -> list[Any]:
    view.put(STATE, {"_key": "whole", "is_whole": bound["is_whole"]})
    return []


_ANSWERS: dict[str, Callable[[View, Bound], list[Any]]] = {
    queries.OUT: _touching("_from"),
    queries.IN: _touching("_to"),
    queries.ANY: _touching("_from", "_to"),
    queries.GET: _get,
    queries.SCAN: _scan,
    queries.REMOVE_KEYS: _remove_keys,
    queries.REMOVE_NODES: _remove_nodes,
    queries.PRUNE: _prune,
    queries.IS_WHOLE: _is_whole,
    queries.SET_WHOLE: _set_whole,
}
assert set(_ANSWERS) == set(queries.ALL)
