"""What shows a character, as relations: in step with references, reviews and checks."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from dinoserve.domain.characters import MAX_PAGE, Character, Check
from dinoserve.domain.evidence import (
    CHECK,
    DEPICTS,
    DERIVED,
    REFERENCE,
    Known,
    key_of,
    linked_to,
    node,
)
from dinoserve.domain.labelled_pairs import LabelledPair
from dinoserve.domain.relations import Node, Relation, node_of
from dinoserve.errors import UnavailableError
from dinoserve.ports import CharacterQuery, CheckQuery, DocumentStore, Embedder
from dinoserve.services.keyed_lock import KeyedLock
from dinoserve.services.relating import Relating

_log = logging.getLogger(__name__)

# A character may hold a megabyte of masks.
_CHARACTERS: Final = 20
_PAUSE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class EvidenceService:
    """Derives relations `depicts`; doing it again changes nothing.

    What is kept of characters is the truth, and is stored first. So that relations
    follow though a process ends between the two, or a store is away, those of every
    character are looked at when a server starts, and what failed is tried again.

    Attributes:
        documents: the truth, not what a cache believes.
    """

    documents: DocumentStore
    embedder: Embedder
    now: Callable[[], datetime]
    _late: set[str] = field(default_factory=set[str], repr=False)
    _lock: KeyedLock = field(default_factory=KeyedLock, repr=False)

    def owe(self, character_id: str) -> None:
        """Note that what is kept of the character is about to change.

        Its relations are looked at soon, should nobody follow the change.
        """
        self._late.add(character_id)

    async def checked(self, character_id: str, checks: Sequence[Check]) -> None:
        """Follow checks that were kept; what goes wrong is tried again later."""
        await self._surely(character_id, self._follow(character_id, checks))

    async def changed(self, character_id: str) -> None:
        """Follow references that were changed; else as `checked`."""
        await self._surely(character_id, self._derive(character_id, deep=True))

    async def reviewed(
        self, collection: str, assets: Collection[str] | None = None
    ) -> None:
        """Follow reviews of these assets, None: of all; else as `checked`."""
        pairs = await self._pairs(collection)
        linked = None
        if assets is not None:
            linked = await asyncio.to_thread(linked_to, assets, pairs)
        async for each in self._characters(collection):
            shown = {one.asset_id for one in each.references}
            if linked is None or shown & linked:
                await self._surely(each.id, self._derive(each.id, pairs))

    async def shown_by(self, asset_id: str) -> list[str]:
        """Return the ids of the characters that the asset is a reference of."""
        own = [str(Node("asset", asset_id))]
        present = await self._relating.present(own, [DEPICTS], "out")
        return [
            node_of(each.key.target).name
            for each in present
            if each.origin == REFERENCE
        ]

    async def converge(self) -> None:
        """Look at every character, and its newest checks.

        Raises:
            UnavailableError: the store does not answer.
        """
        async for character in self._characters(None):
            await self._derive(character.id)

    async def catch_up(self) -> None:
        """Do what is owed, or went wrong; errors as `converge`."""
        for character_id in list(self._late):
            await self._derive(character_id, deep=True)
            self._late.discard(character_id)

    async def _surely(self, character_id: str, work: Awaitable[None]) -> None:
        """Do it to the end, though the caller leaves, or else later."""
        self.owe(character_id)
        await asyncio.shield(asyncio.ensure_future(self._tried(character_id, work)))

    async def _tried(self, character_id: str, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001 - what it follows is stored: that succeeded
            _log.warning("character %s is related later", character_id, exc_info=True)
        else:
            self._late.discard(character_id)

    async def _derive(
        self,
        character_id: str,
        pairs: Sequence[LabelledPair] | None = None,
        *,
        deep: bool = False,
    ) -> None:
        """Bring all relations of the character in step. Absent: nothing happens.

        Args:
            character_id: which.
            pairs: what reviews say in its collection; None: they are read.
            deep: read every check; else the newest, if there are any relations.
        """
        async with self._lock(character_id):
            if known := await self._known(character_id, pairs):
                own = [node(character_id)]
                present = await self._relating.present(own, [DEPICTS], "in")
                checks = await self._checks(character_id, deep=deep or not present)
                wanted = known.relations(self.now()) + known.found(checks)
                await self._replace(known, present, wanted, checks)

    async def _follow(self, character_id: str, checks: Sequence[Check]) -> None:
        """Bring the relations of checked assets in step."""
        async with self._lock(character_id):
            if known := await self._known(character_id):
                keys = [key_of(check.asset_id, character_id) for check in checks]
                present = await self._relating.of(keys)
                said = known.relations(self.now())
                wanted = [each for each in said if each.key in keys]
                wanted += known.found(checks)
                await self._replace(known, present, wanted, checks)

    async def _replace(
        self,
        known: Known,
        present: Sequence[Relation],
        wanted: Sequence[Relation],
        checks: Sequence[Check],
    ) -> None:
        judged = {key_of(each.asset_id, known.character.id) for each in checks}

        def is_meant(relation: Relation) -> bool:
            if relation.origin == CHECK and relation.key not in judged:
                return known.is_over(relation)
            return relation.origin in DERIVED

        await self._relating.replace(present, wanted, is_meant)

    async def _known(
        self, character_id: str, pairs: Sequence[LabelledPair] | None = None
    ) -> Known | None:
        character = await self.documents.characters.get(character_id)
        if character is None:
            return None
        if pairs is None:
            pairs = await self._pairs(character.collection)
        return await asyncio.to_thread(Known.of, character, pairs)

    async def _pairs(self, collection: str) -> list[LabelledPair]:
        reviewed = await self.documents.characters.reviews.get(collection)
        return [each.pair for each in reviewed]

    async def _checks(self, character_id: str, *, deep: bool) -> list[Check]:
        """Return the newest checks of the loaded recipe, or all."""
        recipe = self.embedder.card.recipe.id
        query = CheckQuery(character_id, recipe, limit=MAX_PAGE)
        found: list[Check] = []
        while True:
            page = await self.documents.characters.checks(query)
            found += page.checks
            if page.next is None or not deep:
                return found
            query = replace(query, after=page.next)

    async def _characters(self, collection: str | None) -> AsyncGenerator[Character]:
        query = CharacterQuery(collection, limit=_CHARACTERS)
        while True:
            page = await self.documents.characters.find(query)
            for character in page.characters:
                yield character
            if page.next is None:
                return
            query = replace(query, after=page.next)

    @property
    def _relating(self) -> Relating:
        return Relating(self.documents)


@asynccontextmanager
async def converging(
    evidence: EvidenceService, pause_s: float = _PAUSE_S
) -> AsyncGenerator[None]:
    """Look at every character now, and at what is owed after every pause."""
    task = asyncio.create_task(_keep_converging(evidence, pause_s))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _keep_converging(evidence: EvidenceService, pause_s: float) -> None:
    work = evidence.converge
    while True:
        try:
            await work()
            work = evidence.catch_up
        except UnavailableError as error:
            _log.warning("characters are related later: %s", error.detail)
        except Exception:  # noqa: BLE001 - else a bug would keep it for good
            _log.exception("characters are related later")
        await asyncio.sleep(pause_s)
