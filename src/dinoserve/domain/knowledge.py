"""Nodes and relations as text, for a knowledge graph that reads text."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from dinoserve.domain.assets import Asset
from dinoserve.domain.characters import Character
from dinoserve.domain.relations import Node, Relation, RelationKey, node_of

Pair: TypeAlias = tuple[str, str]
"""Ids of two nodes, the lesser first; the same twice: relations to itself."""

QuestionMode: TypeAlias = Literal["hybrid", "local", "global", "naive"]

MAX_DESCRIPTION: Final = 2000
"""Characters of one description."""
MAX_QUESTION: Final = 4096
"""Characters of one question."""
MAX_TOP_K: Final = 200

# A name is its own capitals, because PathRAG keeps every name in capitals.
_NAME = re.compile(r"(ASSET|CHARACTER|COLLECTION|TAG|ENTITY)(?=:[0-9A-F]{32})")
_ASSET = re.compile(r"\basset[: ]([0-9a-f]{32})\b", re.IGNORECASE)
_WITH_ID = {"asset", "character"}


class Entity(NamedTuple):
    """A node as it is told.

    Attributes:
        name: see `entity_name`.
        kind: of node.
        description: at most `MAX_DESCRIPTION` characters, one line.
        asset_id: of the asset that it is; None: it is none.
    """

    name: str
    kind: str
    description: str
    asset_id: str | None


class Link(NamedTuple):
    """All relations of two nodes, as they are told.

    Attributes:
        source: name of the one entity.
        target: name of the other.
        description: at most `MAX_DESCRIPTION` characters, one line; says direction,
            kind, weight and attributes of each relation.
        keywords: the kinds, separated by commas.
        weight: the greatest of theirs, in (0, 1].
        asset_id: of an asset among the two; None: neither is one.
    """

    source: str
    target: str
    description: str
    keywords: str
    weight: float
    asset_id: str | None


class Facts(NamedTuple):
    """What is told at once; links are between entities of it."""

    entities: Sequence[Entity]
    links: Sequence[Link]


class Question(NamedTuple):
    """What is asked.

    Attributes:
        text: at most `MAX_QUESTION` characters.
        mode: how a context is searched for.
        top_k: entities and relations that it begins with, from 1 to `MAX_TOP_K`.
    """

    text: str
    mode: QuestionMode = "hybrid"
    top_k: int = 40


class Answer(NamedTuple):
    """What was answered, and the context that was found for the question."""

    text: str
    context: str


def entity_name(node: Node) -> str:
    """Return the name of a node: its kind, and 32 hex digits, in capitals.

    The digits are the id of an asset or character; of other nodes they are the first
    of their name's SHA-256, because capitals alone would join `Hero` and `hero`.
    """
    digits = node.name
    if node.kind not in _WITH_ID:
        digits = hashlib.sha256(node.name.encode()).hexdigest()[:32]
    return f"{node.kind}:{digits}".upper()


def pair_of(key: RelationKey) -> Pair:
    """Return the nodes of a relation, whichever its direction."""
    return (min(key[:2]), max(key[:2]))


def entity_of(node: Node, record: Asset | Character | None) -> Entity:
    """Return a node as it is told.

    Args:
        node: which.
        record: of an asset or character; None: of another node.
    """
    asset_id = node.name if node.kind == "asset" else None
    if isinstance(record, Asset):
        text = _asset_text(record)
    elif isinstance(record, Character):
        text = _character_text(record)
    else:
        text = f"{node.kind} {_json(node.name)}"
    return Entity(entity_name(node), node.kind, _bounded(text), asset_id)


def link_of(pair: Pair, relations: Iterable[Relation]) -> Link:
    """Return the relations of two nodes as they are told; there is one at least."""
    kept = sorted(relations, key=lambda one: one.key)
    nodes = [node_of(end) for end in pair]
    assets = [node.name for node in nodes if node.kind == "asset"]
    kinds = dict.fromkeys(one.key.kind.replace("_", " ") for one in kept)
    return Link(
        source=entity_name(nodes[0]),
        target=entity_name(nodes[1]),
        description="; ".join(map(_relation_text, kept))[:MAX_DESCRIPTION],
        keywords=", ".join(kinds),
        weight=max(one.weight for one in kept),
        asset_id=assets[0] if assets else None,
    )


def assets_in(context: str) -> list[str]:
    """Return the ids of assets that a context names, each once, as they appear."""
    found = (match[1].lower() for match in _ASSET.finditer(context))
    return list(dict.fromkeys(found))


def _asset_text(asset: Asset) -> str:
    parts = [f"image of the collection {_json(asset.collection)}"]
    if asset.filename:
        parts.append(f"file {_json(asset.filename)}")
    if asset.subject:
        parts.append(f"subject {_json(asset.subject)}")
    if asset.tags:
        parts.append(f"tags {_json(list(asset.tags))}")
    if asset.metadata:
        parts.append(f"metadata {_json(dict(asset.metadata))}")
    return ", ".join(parts)


def _character_text(character: Character) -> str:
    text = (
        f"character {_json(character.name)}"
        f" of the collection {_json(character.collection)}"
    )
    if not character.attributes:
        return text
    return f"{text}, attributes {_json(dict(character.attributes))}"


def _relation_text(relation: Relation) -> str:
    source, target, kind = relation.key
    text = (
        f"{entity_name(node_of(source))} {kind.replace('_', ' ')}"
        f" {entity_name(node_of(target))}, weight {relation.weight:.4g}"
    )
    if not relation.attributes:
        return text
    return f"{text}, {_quoted(_json(dict(relation.attributes)))}"


def _bounded(text: str) -> str:
    return _quoted(text)[:MAX_DESCRIPTION]


def _quoted(text: str) -> str:
    """Return what people wrote so that it cannot be taken for one of our names."""
    return _NAME.sub(lambda match: match[0].lower(), text)


def _json(value: object) -> str:
    """Return it as one line: JSON escapes what begins another."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return "".join(c if c.isprintable() else " " for c in text)
