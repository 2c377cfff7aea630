"""URLs and addresses that are refused before anything is sent there."""

import pytest

from dinoserve.adapters.fetch import GuardedFetcher
from dinoserve.errors import FetchRefusedError
from fetch_site import NAME, SERVER, Names, client_tls
from fetch_site import fetcher as strict_fetcher
from fetch_site import site as open_site
from https_server import answer, redirect

SLY_URLS = [
    "",
    "pictures.example/a.jpg",
    "//pictures.example/",
    "https:",
    "https:///a.jpg",
    "http://pictures.example/",
    "ftp://pictures.example/",
    "file:///etc/passwd",
    "data:image/png;base64,AAAA",
    "https://user@pictures.example/",
    "https://user:word@pictures.example/",
    "https://pictures.example:word@127.0.0.1/",
    "https://pictures.example\\@127.0.0.1/",
    "https://127.0.0.1\\.pictures.example/",
    "https://pictures.example:80/",
    "https://pictures.example:0/",
    "https://pictures.example:22/",
    "https://pictures.example:99999/",
    "https://pictures.example:x/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://1.2.3.4.5/",
    "https://[::1/",
    "https://[v1.x]/",
    "https://127%2e0%2e0%2e1/",
    "https://pictures..example/",
    "https://pictures.example../",
    "https://a b.example/",
    "https://xn--/",
    "https://xn--zzzzzz\u00e4/",
    "https://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/",
    "https://pictures.example/\nHost: inside",
    "https://pictures.example/\r\n",
    "https://pictures.example/\x00",
    "https://pictures.example/\x85",
    " https://pictures.example/",
    "https://pictures.example/\ud800",
    "https://\ud800.example/",
    "https://pictures.example/" + "a" * 4096,
    "https://" + "a" * 64 + ".example/",
    "https://" + "a." * 126 + "example/",
]

INSIDE_HOSTS = [
    *("127.0.0.1", "127.0.0.1.", "10.0.0.1", "169.254.169.254", "0.0.0.0"),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
    *("[fd00:ec2::254]", "127\u30020\u30020\u30021", "100.100.100.200"),
    *("[fe80::1%25lo]", "[fe80::1%lo]", "[2606:4700::1111%25eth0]"),
]


@pytest.mark.parametrize("url", SLY_URLS, ids=range(len(SLY_URLS)))
async def test_a_malformed_or_sly_url_is_refused_unresolved(url: str) -> None:
    names = Names()
    with pytest.raises(FetchRefusedError) as caught:
        await strict_fetcher(names).fetch(url)
    assert (caught.value.extra["field"], names.asked) == ("url", [])


@pytest.mark.parametrize("host", INSIDE_HOSTS)
async def test_a_literal_inside_address_is_refused_unresolved(host: str) -> None:
    names = Names()
    with pytest.raises(FetchRefusedError):
        await strict_fetcher(names).fetch(f"https://{host}/")
    assert names.asked == []


@pytest.mark.parametrize("inside", ["127.0.0.1", "10.9.8.7", "::1", "169.254.169.254"])
async def test_every_refused_address_gets_the_same_words(inside: str) -> None:
    fetcher = strict_fetcher(Names({NAME: [[inside]]}))
    with pytest.raises(FetchRefusedError) as named:
        await fetcher.fetch(f"https://{NAME}/")
    with pytest.raises(FetchRefusedError) as literal:
        await fetcher.fetch("https://192.168.0.1/")
    assert named.value.detail == literal.value.detail
    assert named.value.extra == literal.value.extra == {"field": "url"}


@pytest.mark.parametrize(
    "inside", ["10.0.0.1", "::1", "169.254.169.254", "fe80::1%lo", "::ffff:127.0.0.1"]
)
async def test_one_inside_address_among_the_answers_refuses_them_all(
    inside: str,
) -> None:
    names = Names({NAME: [[SERVER, inside]]})
    async with open_site({"/": answer()}, names=names) as site:
        with pytest.raises(FetchRefusedError):
            await site.fetch()
    assert site.server.connections == 0


async def test_what_the_site_allows_for_itself_is_refused_by_default() -> None:
    async with open_site({"/": answer()}) as site:
        strict = GuardedFetcher(site.limits, resolve=site.names, tls=client_tls())
        with pytest.raises(FetchRefusedError, match="public"):
            await strict.fetch(site.url())
    assert site.server.connections == 0


@pytest.mark.parametrize(
    "location",
    [
        "https://127.0.0.2/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data/",
        "http://pictures.example/",
        "//10.0.0.1/",
        "https://user:word@pictures.example/",
        "https://pictures.example:22/",
        "file:///etc/passwd",
        "https://2130706433/",
        "https://exa mple/",
        "/" + "a" * 4096,
    ],
)
async def test_a_redirect_to_what_may_not_be_fetched_is_refused(location: str) -> None:
    async with open_site({"/": redirect(location)}) as site:
        with pytest.raises(FetchRefusedError):
            await site.fetch()
    assert len(site.server.requests) == 1
