"""What is known of the nodes of a graph: which are there, and what they are called."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from dinoserve.domain.relations import Node, Reach, node_of
from dinoserve.errors import NodeNotFoundError
from dinoserve.ports import DocumentStore, RelationStore

_BATCH = 1000


class About(NamedTuple):
    """What is kept of an asset or a character.

    Attributes:
        name: of the file, or of the character; None: it has none.
        picture: id of an asset that shows it; None: there is none.
    """

    name: str | None
    collection: str
    picture: str | None


@dataclass(frozen=True, slots=True)
class GraphNodes:
    """Looks up assets and characters that are nodes."""

    documents: DocumentStore

    async def about(self, nodes: Iterable[str]) -> dict[str, About]:
        """Return what is kept of these, by id. What is neither, or absent: left out."""
        named = {node: node_of(node) for node in nodes}
        return await self._assets(named) | await self._characters(named)

    async def require(self, node: str, field: str, relations: RelationStore) -> None:
        """Pass if it is an asset or character that is there, or has a relation.

        Raises:
            NodeNotFoundError: else; `field` is what the request calls it.
        """
        if node_of(node).kind in {"asset", "character"}:
            is_there = bool(await self.about([node]))
        else:
            is_there = bool(await relations.touching([node], Reach(), 1))
        if not is_there:
            raise absent(node, field)

    async def _assets(self, named: dict[str, Node]) -> dict[str, About]:
        nodes = [
            (key, node.name) for key, node in named.items() if node.kind == "asset"
        ]
        found: dict[str, About] = {}
        for start in range(0, len(nodes), _BATCH):
            some = nodes[start : start + _BATCH]
            assets = await self.documents.get([name for _, name in some])
            found |= {
                key: About(assets[name].filename, assets[name].collection, name)
                for key, name in some
                if name in assets
            }
        return found

    async def _characters(self, named: dict[str, Node]) -> dict[str, About]:
        found: dict[str, About] = {}
        for key, node in named.items():
            if node.kind != "character":
                continue
            character = await self.documents.characters.get(node.name)
            if character:
                shown = [each.asset_id for each in character.references[:1]]
                picture = shown[0] if shown else None
                found[key] = About(character.name, character.collection, picture)
        return found


def absent(node: str, field: str) -> NodeNotFoundError:
    """Return the error that this node is not there."""
    kind, _, name = node.partition(":")
    if kind in {"asset", "character"}:
        detail = f"No {kind} has the id {name}."
    else:
        detail = f"No relation has the node {node[:80]!r}."
    return NodeNotFoundError(detail, field=field, value=node[:80])
