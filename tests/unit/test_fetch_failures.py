"""Servers that lie, stall, break off or send too much: each a failure with a reason."""

import asyncio
import logging
import socket
import struct
from dataclasses import replace

import pytest

from dinoserve.adapters.fetch import GuardedFetcher
from dinoserve.errors import FetchFailedError
from fetch_site import (
    LIMITS,
    NAME,
    SERVER,
    SHORT_S,
    Names,
    client_tls,
    hang,
    is_loopback,
    is_server,
)
from fetch_site import site as open_site
from https_server import answer, never, redirect

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_redirect_loop_ends_after_three_redirects() -> None:
    async with open_site({"/": redirect("/")}) as site:
        with pytest.raises(FetchFailedError) as caught:
            await site.fetch()
    assert (caught.value.extra["limit"], len(site.server.requests)) == (3, 4)


async def test_a_redirect_to_nowhere_is_a_failure() -> None:
    async with open_site({"/": answer(status="302 Found")}) as site:
        with pytest.raises(FetchFailedError, match="302"):
            await site.fetch()


@pytest.mark.parametrize("status", ["404 Not Found", "206 Partial Content", "500 Oops"])
async def test_any_status_but_200_is_a_failure_that_names_it(status: str) -> None:
    async with open_site({"/": answer(b"no", status)}) as site:
        with pytest.raises(FetchFailedError) as caught:
            await site.fetch()
    assert caught.value.extra == {"field": "url", "value": int(status[:3])}


async def test_a_declared_length_beyond_the_limit_fails_before_the_body() -> None:
    async def declare(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n")
        await never(writer)

    async with open_site({"/": declare}) as site:
        with pytest.raises(FetchFailedError) as caught:
            await site.fetch()
    assert caught.value.extra == {"field": "url", "limit": 1000, "value": 1001}


async def test_an_endless_body_without_length_is_cut_at_the_limit() -> None:
    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        while True:
            writer.write(b"100\r\n" + bytes(256) + b"\r\n")
            await writer.drain()

    async with open_site({"/": pour}) as site:
        with pytest.raises(FetchFailedError) as caught:
            await site.fetch()
    assert caught.value.extra["limit"] == LIMITS.max_bytes


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP, identity"])
async def test_a_compressed_answer_is_a_failure(encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    async with open_site({"/": answer(b"x", headers=headers)}) as site:
        with pytest.raises(FetchFailedError, match="compressed"):
            await site.fetch()


async def test_a_body_that_drips_hits_the_deadline() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(SHORT_S / 20)

    limits = replace(LIMITS, timeout_s=SHORT_S)
    async with open_site({"/": drip}, limits=limits) as site:
        with pytest.raises(FetchFailedError) as caught:
            await site.fetch()
    assert caught.value.extra["limit"] == SHORT_S


async def test_a_name_server_that_hangs_hits_the_deadline() -> None:
    limits = replace(LIMITS, timeout_s=0.05)
    fetcher = GuardedFetcher(limits, resolve=hang, tls=client_tls())
    with pytest.raises(FetchFailedError) as caught:
        await fetcher.fetch(f"https://{NAME}/")
    assert caught.value.extra["limit"] == limits.timeout_s


async def test_a_server_that_never_shakes_hands_is_left_in_time() -> None:
    left = asyncio.Event()

    async def read_until_left(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read()
        writer.close()
        left.set()

    silent = await asyncio.start_server(read_until_left, SERVER)
    port = int(silent.sockets[0].getsockname()[1])
    limits = replace(LIMITS, timeout_s=0.2, ports=frozenset({port}))
    fetcher = GuardedFetcher(limits, resolve=Names(), is_allowed=is_server)
    async with silent:
        with pytest.raises(FetchFailedError):
            await fetcher.fetch(f"https://{NAME}:{port}/")
        await left.wait()


async def test_a_certificate_of_another_name_is_a_failure() -> None:
    names = Names({"wrong.example": [[SERVER]]})
    async with open_site({"/": answer(b"lie")}, names=names) as site:
        with pytest.raises(FetchFailedError, match="identity"):
            await site.fetch(host="wrong.example")
    assert site.server.requests == []


async def test_a_certificate_of_an_unknown_authority_is_a_failure() -> None:
    async with open_site({"/": answer(b"lie")}) as site:
        stranger = GuardedFetcher(site.limits, resolve=site.names, is_allowed=is_server)
        with pytest.raises(FetchFailedError, match="identity"):
            await stranger.fetch(site.url())
    assert site.server.requests == []


async def test_a_connection_cut_inside_the_body_is_a_failure() -> None:
    async with open_site({"/": answer(b"a whole picture")[:-3]}) as site:
        with pytest.raises(FetchFailedError, match="broke off"):
            await site.fetch()


async def test_a_connection_reset_inside_the_body_is_a_failure() -> None:
    async def reset(writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"a whole picture")[:-3])
        await writer.drain()
        # To linger for no time makes closing a reset.
        tcp: socket.socket = writer.get_extra_info("socket")
        linger = struct.pack("ii", 1, 0)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async with open_site({"/": reset}) as site:
        with pytest.raises(FetchFailedError, match="broke off"):
            await site.fetch()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        CHUNKED + b"zz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    ],
    ids=["ssh", "nothing", "length", "chunk", "endless-head"],
)
async def test_an_answer_that_is_not_http_is_a_failure(nonsense: bytes) -> None:
    async with open_site({"/": nonsense}) as site:
        with pytest.raises(FetchFailedError, match="nonsense"):
            await site.fetch()


async def test_a_closed_port_is_a_failure() -> None:
    names = Names({NAME: [["127.0.0.3"]]})
    async with open_site({}, names=names, is_allowed=is_loopback) as site:
        with pytest.raises(FetchFailedError, match="No connection"):
            await site.fetch()


@pytest.mark.parametrize("names", [Names({}), Names({NAME: [[]]})])
async def test_a_name_without_address_is_a_failure(names: Names) -> None:
    async with open_site({}, names=names) as site:
        with pytest.raises(FetchFailedError, match=NAME):
            await site.fetch()


async def test_a_signature_in_the_query_is_neither_logged_nor_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    routes = {"/a": redirect("/b"), "/b": answer(status="403 Forbidden")}
    async with open_site(routes) as site:
        with pytest.raises(FetchFailedError) as caught:
            await site.fetch("/a?signature=s3cr3t")
    assert "s3cr3t" not in caplog.text + str(caught.value.extra) + caught.value.detail
