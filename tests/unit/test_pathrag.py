"""The client of PathRAG: what it believes, and what not."""

import os
from collections.abc import AsyncGenerator, Generator

import pytest

from dinoserve.adapters import pathrag as adapter
from dinoserve.adapters.pathrag import PathRag
from dinoserve.domain.knowledge import Entity, Facts, Link, Question
from dinoserve.errors import DeadlineError, UnavailableError
from needs import PATHRAG_URL
from pathrag_server import Fault, PathRagServer, Silent, pathrag

ASSET = "9f" * 16
HERO, MASK = f"ASSET:{ASSET.upper()}", f"TAG:{'A1' * 16}"
FACTS = Facts(
    [
        Entity(HERO, "asset", 'image, file "it\'s.jpg", 日本語', ASSET),
        Entity(MASK, "tag", 'tag "mask"', None),
    ],
    [Link(HERO, MASK, f"{HERO} shows {MASK}, weight 0.5", "shows", 0.5, ASSET)],
)
FAULTS: list[Fault] = [
    "500",
    "garbage",
    "no object",
    "deep",
    "huge",
    "cut",
    "redirect",
    "no text",
]


@pytest.fixture
def server() -> Generator[PathRagServer]:
    with pathrag() as server:
        yield server


@pytest.fixture
async def client(server: PathRagServer) -> AsyncGenerator[PathRag]:
    async with PathRag.open(server.url) as client:
        yield client


async def test_facts_are_there_once_they_are_put(
    client: PathRag, server: PathRagServer
) -> None:
    await client.put(FACTS)
    assert server.entities.keys() == {f'"{HERO}"', f'"{MASK}"'}
    assert "日本語" in server.entities[f'"{HERO}"']["description"]
    assert server.links.keys() == {(f'"{HERO}"', f'"{MASK}"')}
    assert server.links[f'"{HERO}"', f'"{MASK}"']["weight"] == 0.5


async def test_the_same_facts_twice_are_there_once(
    client: PathRag, server: PathRagServer
) -> None:
    await client.put(FACTS)
    once = server.kept
    await client.put(FACTS)
    assert server.kept == once


async def test_every_fact_rests_on_a_chunk_that_holds_its_asset_and_nothing_else(
    client: PathRag, server: PathRagServer
) -> None:
    await client.put(FACTS)
    assert {*server.chunks.values()} == {f"dinoserve asset {ASSET}", "dinoserve"}
    for fact in (server.entities[f'"{HERO}"'], *server.links.values()):
        assert server.chunks[fact["source_id"]] == f"dinoserve asset {ASSET}"


@pytest.mark.parametrize("what", ["entities", "relationships"])
async def test_facts_that_are_said_to_be_stored_and_are_not_fail(
    client: PathRag, server: PathRagServer, what: Silent
) -> None:
    server.silent = {what}
    with pytest.raises(UnavailableError, match="does not have them"):
        await client.put(FACTS)


@pytest.mark.parametrize("what", ["entities", "relationships"])
async def test_a_change_that_is_not_stored_over_what_was_there_fails(
    client: PathRag, server: PathRagServer, what: Silent
) -> None:
    await client.put(FACTS)
    server.silent = {what}
    changed = Facts(
        [one._replace(description="another") for one in FACTS.entities],
        [one._replace(weight=0.75) for one in FACTS.links],
    )
    with pytest.raises(UnavailableError, match="does not have them"):
        await client.put(changed)


async def test_facts_that_one_query_leaves_out_are_asked_for_alone(
    client: PathRag, server: PathRagServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "_READ_TOP_K", 1)
    await client.put(FACTS)
    assert server.requests.count("POST /query") > 1


async def test_what_is_forgotten_leaves_nothing_but_the_asset_s_id(
    client: PathRag, server: PathRagServer
) -> None:
    await client.put(FACTS)
    await client.forget([HERO, MASK])
    assert server.entities == {}
    assert server.links == {}
    assert "it's" not in server.kept
    assert {*server.chunks.values()} == {f"dinoserve asset {ASSET}", "dinoserve"}


async def test_to_forget_what_was_never_there_is_no_failure(client: PathRag) -> None:
    await client.forget([HERO])


async def test_an_entity_that_is_said_to_be_erased_and_is_not_fails(
    client: PathRag, server: PathRagServer
) -> None:
    await client.put(FACTS)
    server.silent = {"deletes"}
    with pytest.raises(UnavailableError, match="still has it"):
        await client.forget([HERO])


async def test_an_answer_comes_with_its_context(client: PathRag) -> None:
    await client.put(FACTS)
    answer = await client.ask(Question("who wears the mask?"))
    assert answer.text.startswith("It is said: ")
    assert HERO in answer.context
    assert "It is said" not in answer.context


async def test_an_answer_that_the_server_keeps_is_never_given_again(
    client: PathRag,
) -> None:
    await client.put(FACTS)
    question = Question("who wears the mask?")
    assert HERO in (await client.ask(question)).text
    await client.forget([HERO, MASK])
    again = await client.ask(question)
    assert HERO not in again.text + again.context


async def test_a_question_is_asked_as_it_was_wished(
    client: PathRag, server: PathRagServer
) -> None:
    await client.put(FACTS)
    answer = await client.ask(Question("mask image", "local", 1))
    assert {mode for mode, _ in server.answers} == {"local"}
    assert HERO in answer.context
    assert '"tag ""mask""' not in answer.context


async def test_a_healthy_server_tells_its_version(client: PathRag) -> None:
    assert await client.ping() == "PathRAG 1.0.0"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", ["put", "forget", "ask", "ping"])
async def test_a_fault_of_the_server_is_told_as_one(
    client: PathRag, server: PathRagServer, fault: Fault, call: str
) -> None:
    calls = {
        "put": lambda: client.put(FACTS),
        "forget": lambda: client.forget([HERO]),
        "ask": lambda: client.ask(Question("who?")),
        "ping": client.ping,
    }
    server.faults = {"*": fault}
    with pytest.raises(UnavailableError) as caught:
        await calls[call]()
    assert caught.value.port == "pathrag"
    assert "secret" not in caught.value.detail


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", ["put", "forget"])
async def test_what_cannot_be_read_back_is_not_taken_for_stored(
    client: PathRag, server: PathRagServer, fault: Fault, call: str
) -> None:
    server.faults = {"/query": fault}
    with pytest.raises(UnavailableError):
        await (client.put(FACTS) if call == "put" else client.forget([HERO]))


async def test_a_server_that_is_away_is_told_at_once() -> None:
    with pathrag() as gone:
        pass
    async with PathRag.open(gone.url) as client:
        with pytest.raises(UnavailableError, match="cannot be reached"):
            await client.ping()


async def test_a_server_that_hangs_is_given_up(
    client: PathRag, server: PathRagServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_PING_S", "_STORE_S", "_ASK_S"):
        monkeypatch.setattr(adapter, name, 0.05)
    server.faults = {"*": "slow"}
    for call in (client.ping(), client.put(FACTS), client.forget([HERO])):
        with pytest.raises(UnavailableError, match=r"did not answer within 0.05 s"):
            await call
    with pytest.raises(DeadlineError):
        await client.ask(Question("who?"))


async def test_an_answer_without_end_is_not_read_to_its_end(
    client: PathRag, server: PathRagServer
) -> None:
    server.faults = {"/query": "huge"}
    with pytest.raises(UnavailableError, match="answered more than 4194304 bytes"):
        await client.ask(Question("who?"))


@pytest.mark.needs("pathrag")
async def test_a_real_server_takes_facts_and_forgets_them() -> None:
    async with PathRag.open(os.environ[PATHRAG_URL]) as client:
        await client.ping()
        await client.put(FACTS)
        assert await client.has(HERO)
        answer = await client.ask(Question("Who wears the mask?"))
        assert answer.text
        await client.forget([HERO, MASK])
        assert not await client.has(HERO)
