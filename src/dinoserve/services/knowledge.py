"""Questions to a knowledge graph elsewhere, and the assets that answers rest on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dinoserve.domain.assets import Asset
from dinoserve.domain.knowledge import Question, assets_in
from dinoserve.errors import NotConfiguredError
from dinoserve.ports import AssetStore, Knowledge


class Explained(NamedTuple):
    """An answer, and what it rests on.

    Attributes:
        assets: that the context names and that are there, as the context has them.
        context: what was found for the question, as the other side tells it.
    """

    answer: str
    assets: Sequence[Asset]
    context: str


@dataclass(frozen=True, slots=True)
class KnowledgeService:
    """Asks the knowledge graph.

    Attributes:
        documents: where the assets are.
        knowledge: who is asked; None: nobody.
    """

    documents: AssetStore
    knowledge: Knowledge | None = None

    async def ask(self, question: Question) -> Explained:
        """Return an answer with the assets that it rests on.

        Raises:
            NotConfiguredError: there is no knowledge graph.
            UnavailableError: it does not answer, or with what is no answer.
            DeadlineError: it answers too slowly.
        """
        if self.knowledge is None:
            raise NotConfiguredError(
                "Questions are answered by a PathRAG server, and none is set: set"
                " DINOSERVE_PATHRAG to its address.",
                setting="DINOSERVE_PATHRAG",
            )
        answer = await self.knowledge.ask(question)
        ids = assets_in(answer.context)
        there = await self.documents.get(ids)
        assets = [there[one] for one in ids if one in there]
        return Explained(answer.text, assets, answer.context)
