"""A graph as other tools read it: node-link JSON, GraphML, DOT."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, TypeAlias
from xml.sax.saxutils import escape, quoteattr

from dinoserve.services.graph import Portion
from dinoserve.web.graph_views import RelationView, found_views

GraphFormat: TypeAlias = Literal["json", "graphml", "dot"]

MEDIA_TYPES: Final[Mapping[GraphFormat, str]] = {
    "json": "application/json",
    "graphml": "application/graphml+xml",
    "dot": "text/vnd.graphviz",
}

_NODE_KEYS = {
    "kind": "string",
    "name": "string",
    "collection": "string",
    "thumbnail": "string",
    "depth": "int",
    "strength": "double",
}
_EDGE_KEYS = {
    "kind": "string",
    "weight": "double",
    "created_at": "string",
    "origin": "string",
    "recipe": "string",
    "collection": "string",
    "attributes": "string",
}
# XML 1.0 §2.2: what no document may contain, not even escaped.
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def written(portion: Portion, wanted: GraphFormat) -> str:
    """Return the subgraph as text.

    Node-link JSON and GraphML are those that networkx reads, as a directed multigraph
    whose relations have their kind as key; the JSON has `truncated` and `served_by`
    of its own. In GraphML and DOT attributes are one JSON text.

    Sources:
        networkx 3.6, `node_link_graph`; GraphML 1.0 (graphml.graphdrawing.org);
        graphviz.org/doc/info/lang.html.
    """
    writers: Mapping[GraphFormat, Callable[[Portion], Iterator[str]]] = {
        "json": _node_link,
        "graphml": _graphml,
        "dot": _dot,
    }
    return "".join(writers[wanted](portion))


def _nodes(portion: Portion) -> Iterator[tuple[str, dict[str, object]]]:
    for view in found_views(portion):
        yield view.id, view.model_dump(mode="json", exclude={"id"})


def _edges(portion: Portion) -> Iterator[tuple[str, str, dict[str, object]]]:
    for each in portion.relations:
        view = RelationView.of(each).model_dump(mode="json")
        yield view.pop("source"), view.pop("target"), view


def _node_link(portion: Portion) -> Iterator[str]:
    told = {"truncated": portion.is_truncated, "served_by": portion.served_by}
    graph = {
        "directed": True,
        "multigraph": True,
        "graph": told,
        "nodes": [{"id": node, **data} for node, data in _nodes(portion)],
        "edges": [
            {"source": source, "target": target, "key": data["kind"], **data}
            for source, target, data in _edges(portion)
        ],
    }
    yield json.dumps(graph, ensure_ascii=False)


def _graphml(portion: Portion) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n'
    for where, keys in (("node", _NODE_KEYS), ("edge", _EDGE_KEYS)):
        for name, form in keys.items():
            yield f'<key id="{where}_{name}" for="{where}" attr.name="{name}"'
            yield f' attr.type="{form}"/>\n'
    yield '<graph edgedefault="directed">\n'
    for node, data in _nodes(portion):
        yield f"<node id={_attribute(node)}>{_data('node', data)}</node>\n"
    for source, target, data in _edges(portion):
        yield f"<edge source={_attribute(source)} target={_attribute(target)}"
        yield f' id="{data["kind"]}">{_data("edge", data)}</edge>\n'
    yield "</graph>\n</graphml>\n"


def _data(where: str, values: Mapping[str, object]) -> str:
    return "".join(
        f'<data key="{where}_{name}">{escape(_xml(_text(value)))}</data>'
        for name, value in values.items()
        if value is not None
    )


def _attribute(text: str) -> str:
    return quoteattr(_xml(text))


def _xml(text: str) -> str:
    """Return the text; what XML cannot contain is told as JSON tells it."""
    return _NOT_XML.sub(lambda match: json.dumps(match[0])[1:-1], text)


def _dot(portion: Portion) -> Iterator[str]:
    yield "digraph {\n"
    for node, data in _nodes(portion):
        # pydot reads no attribute of this name; the label tells it.
        label = str(data.pop("name") or node)
        yield f"{_quoted(node)} [label={_quoted(label)}{_listed(data)}];\n"
    for source, target, data in _edges(portion):
        ends = f"{_quoted(source)} -> {_quoted(target)}"
        yield f"{ends} [label={_quoted(str(data['kind']))}{_listed(data)}];\n"
    yield "}\n"


def _listed(values: Mapping[str, object]) -> str:
    return "".join(
        f", {name}={_quoted(_text(value))}"
        for name, value in values.items()
        if value is not None
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    """Return the text in quotes; an escaped backslash is one in what is drawn."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
