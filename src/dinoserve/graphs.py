"""From settings to what follows the graph; beside `wiring`, it names adapters."""

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from dinoserve.adapters.arango import ArangoGraph
from dinoserve.adapters.pathrag import PathRag
from dinoserve.ports import DocumentStore, Knowledge
from dinoserve.services.graph_following import (
    COUNTED,
    GraphFollower,
    Pace,
    following,
)
from dinoserve.services.graph_reading import FollowedCopy
from dinoserve.services.knowledge_following import KnowledgeCopy
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics

_log = logging.getLogger(__name__)
_DOCUMENTS: Final = "documents"
_PATHRAG: Final = "pathrag"
# Facts that PathRAG is told at a time: each costs it an embedding, and a failure all.
_FACTS: Final = 16


def has_graph(settings: Settings) -> bool:
    """Tell whether an ArangoDB shall follow the relations."""
    return settings.graph.get_secret_value() != _DOCUMENTS


async def ping_graph(settings: Settings) -> str:
    """Return name and version of that ArangoDB; nothing is made there.

    Raises:
        UnavailableError: it does not answer.
    """
    async with ArangoGraph.open(settings.graph.get_secret_value()) as graph:
        return await graph.ping()


async def open_graph(
    settings: Settings,
    documents: DocumentStore,
    metrics: Metrics,
    stack: AsyncExitStack,
) -> FollowedCopy | None:
    """Return the ArangoDB that follows the relations; None: there shall be none.

    It may be away, now and later; nothing follows yet.

    Args:
        settings: say where it is.
        documents: where the relations are kept.
        metrics: where is counted.
        stack: closes it.

    Raises:
        StartUpError: the setting names none.
    """
    if not has_graph(settings):
        return None
    url = settings.graph.get_secret_value()
    graph = await stack.enter_async_context(ArangoGraph.open(url))
    relations, log = documents.relations, documents.relation_log
    follower = GraphFollower(graph.name, relations, log, graph, metrics)
    return FollowedCopy("arangodb", graph, follower)


async def open_knowledge(settings: Settings, stack: AsyncExitStack) -> Knowledge | None:
    """Return what answers questions, which may be away; the stack closes it."""
    if not settings.pathrag:
        return None
    return await stack.enter_async_context(PathRag.open(settings.pathrag))


def followers_of(
    documents: DocumentStore,
    copy: FollowedCopy | None,
    knowledge: Knowledge | None,
    metrics: Metrics,
) -> list[GraphFollower]:
    """Return what tells others of our relations; nothing follows yet."""
    followers = [copy.follower] if copy else []
    if knowledge:
        told = KnowledgeCopy(documents, knowledge)
        relations, log = documents.relations, documents.relation_log
        pace = Pace(batch=_FACTS)
        one = GraphFollower(_PATHRAG, relations, log, told, metrics, pace)
        followers.append(one)
    return followers


async def strangers(settings: Settings, documents: DocumentStore) -> dict[str, int]:
    """Return followers that the settings do not name, with the marks of each.

    Nobody tells them, so their marks stay. They are counted up to `COUNTED`.
    """
    url = settings.graph.get_secret_value()
    named = {ArangoGraph.name_of(url)} if has_graph(settings) else set[str]()
    if settings.pathrag:
        named.add(_PATHRAG)
    found = await documents.relation_log.followers(COUNTED)
    return {name: count for name, count in found.items() if name not in named}


async def follow(
    followers: Sequence[GraphFollower],
    settings: Settings,
    documents: DocumentStore,
    stack: AsyncExitStack,
) -> None:
    """Tell the followers until the stack closes; say who is told by nobody."""
    for follower in followers:
        await stack.enter_async_context(following(follower))
    for name in await strangers(settings, documents):
        _log.warning(
            "what changes in the graph is noted for %s, which no setting names;"
            " `dinoserve graph unfollow %s` ends that",
            name,
            name,
        )
