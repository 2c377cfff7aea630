"""What a fetch gives, where it connects, and how many run at a time."""

import asyncio
from dataclasses import replace

import pytest

from dinoserve.adapters.fetch import DisabledFetcher, GuardedFetcher
from dinoserve.errors import FetchDisabledError, FetchRefusedError, OverloadedError
from fetch_site import (
    LIMITS,
    NAME,
    OTHER_NAME,
    SERVER,
    Names,
    client_tls,
    hang,
    is_loopback,
    is_server,
)
from fetch_site import site as open_site
from https_server import (
    HttpsServer,
    Write,
    answer,
    certificate,
    chunked,
    never,
    redirect,
)


async def test_the_body_behind_a_url_comes_back_as_it_is() -> None:
    async with open_site({"/a.jpg": answer(b"\xff\xd8 picture")}) as site:
        assert await site.fetch("/a.jpg?size=2") == b"\xff\xd8 picture"


async def test_a_body_without_content_length_comes_back_whole() -> None:
    async with open_site({"/": chunked(b"one ", b"two")}) as site:
        assert await site.fetch() == b"one two"


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    async with open_site({"/": answer(bytes(LIMITS.max_bytes))}) as site:
        assert len(await site.fetch()) == LIMITS.max_bytes


async def test_the_request_names_the_host_and_asks_for_plain_bytes() -> None:
    async with open_site({"/": answer()}) as site:
        await site.fetch()
    head = site.server.requests[0].lower()
    assert f"host: {NAME}:{site.server.port}\r\n" in head
    assert "accept-encoding: identity\r\n" in head


async def test_a_final_dot_and_capitals_in_the_host_change_nothing() -> None:
    async with open_site({"/": answer(b"here")}) as site:
        assert await site.fetch(host="Pictures.EXAMPLE.") == b"here"


async def test_a_fragment_is_not_sent() -> None:
    async with open_site({"/": answer()}) as site:
        await site.fetch("/#secret")
    assert "secret" not in site.server.requests[0]


async def test_a_redirect_is_followed_to_another_name() -> None:
    routes: dict[str, bytes | Write] = {"/b": answer(b"there")}
    async with open_site(routes) as site:
        routes["/a"] = redirect(site.url("/b", OTHER_NAME))
        assert await site.fetch("/a") == b"there"


async def test_a_relative_redirect_is_resolved_again() -> None:
    async with open_site({"/x/a": redirect("../b"), "/b": answer()}) as site:
        await site.fetch("/x/a")
    assert site.names.asked == [NAME, NAME]


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    rebinding = Names({NAME: [[SERVER], ["127.0.0.2"]]})
    async with open_site({"/": answer(b"outer")}, names=rebinding) as site:
        inner = HttpsServer({"/": answer(b"inner")}, site.server.port)
        async with inner.listening("127.0.0.2", certificate(NAME, OTHER_NAME).server):
            assert await site.fetch() == b"outer"
    assert (site.server.connections, inner.connections) == (1, 0)
    assert site.names.asked == [NAME]


async def test_a_name_that_turns_inside_between_redirects_is_refused() -> None:
    rebinding = Names({NAME: [[SERVER], ["127.0.0.2"]]})
    async with open_site({"/": redirect("/again")}, names=rebinding) as site:
        with pytest.raises(FetchRefusedError):
            await site.fetch()
    assert len(site.server.requests) == 1


async def test_a_dead_address_is_passed_over_for_the_next() -> None:
    # Nothing listens on the site's port of 127.0.0.3, so the system refuses at once.
    names = Names({NAME: [["127.0.0.3", SERVER]]})
    routes = {"/": answer(b"here")}
    async with open_site(routes, names=names, is_allowed=is_loopback) as site:
        assert await site.fetch() == b"here"


async def test_proxies_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with open_site({"/": answer(b"straight")}) as site:
        assert await site.fetch() == b"straight"


async def test_no_more_fetches_run_than_allowed_and_all_are_answered() -> None:
    came: list[asyncio.StreamWriter] = []
    two_came = asyncio.Event()

    async def wait_for_two(writer: asyncio.StreamWriter) -> None:
        came.append(writer)
        if len(came) == 2:
            two_came.set()
        await two_came.wait()
        writer.write(answer(b"x"))

    limits = replace(LIMITS, concurrency=2)
    async with open_site({"/": wait_for_two}, limits=limits) as site:
        bodies = await asyncio.gather(*(site.fetch() for _ in range(6)))
    assert (bodies, site.server.peak) == ([b"x"] * 6, 2)


async def test_a_caller_who_finds_no_free_slot_in_time_is_told_of_overload() -> None:
    limits = replace(LIMITS, concurrency=1, timeout_s=0.1)
    fetcher = GuardedFetcher(limits, resolve=hang, tls=client_tls())
    fetches = (fetcher.fetch(f"https://{NAME}/") for _ in range(3))
    results = await asyncio.gather(*fetches, return_exceptions=True)
    assert OverloadedError in {type(result) for result in results}


async def test_a_fetch_cancelled_during_the_handshake_closes_its_connection() -> None:
    came, left = asyncio.Event(), asyncio.Event()

    async def read_until_left(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        came.set()
        await reader.read()
        writer.close()
        left.set()

    silent = await asyncio.start_server(read_until_left, SERVER)
    port = int(silent.sockets[0].getsockname()[1])
    limits = replace(LIMITS, ports=frozenset({port}))
    fetcher = GuardedFetcher(limits, resolve=Names(), is_allowed=is_server)
    async with silent:
        task = asyncio.create_task(fetcher.fetch(f"https://{NAME}:{port}/"))
        await came.wait()
        task.cancel()
        await left.wait()


async def test_a_cancelled_fetch_gives_its_slot_back() -> None:
    started = asyncio.Event()

    async def hold(writer: asyncio.StreamWriter) -> None:
        started.set()
        await never(writer)

    routes = {"/hold": hold, "/": answer(b"x")}
    async with open_site(routes, limits=replace(LIMITS, concurrency=1)) as site:
        task = asyncio.create_task(site.fetch("/hold"))
        await started.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await site.fetch() == b"x"


async def test_a_flood_of_tiny_chunks_leaves_the_loop_to_others() -> None:
    async with open_site({"/": chunked(*[b"."] * 900)}) as site:
        fetch = asyncio.create_task(site.fetch())
        turns = 0
        while not fetch.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > len(await fetch)


async def test_a_disabled_fetcher_tells_how_to_enable_it() -> None:
    with pytest.raises(FetchDisabledError, match="DINOSERVE_FETCH_URLS=true"):
        await DisabledFetcher().fetch(f"https://{NAME}/")
