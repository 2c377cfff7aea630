"""Which addresses are public: the table against vectors, oracles and properties."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dinoserve.adapters.fetch_addresses import SystemResolver, is_name, is_public

INSIDE = """
127.0.0.1 ::1 0.0.0.0 ::ffff:127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1::
169.254.169.254 fe80::1 fc00::1 100.64.0.1 192.0.0.8 198.18.0.1 192.88.99.1 fec0::1
224.0.0.1 2001:db8::1 ::7f00:1 100::1 2001::1 5f00::1 3fff::1 240.0.0.1
255.255.255.255
10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 100.100.100.200 168.63.129.16
192.0.0.192 192.0.2.1 198.51.100.1 203.0.113.1 192.31.196.1 192.52.193.1
192.175.48.1 198.19.255.255 239.255.255.255 0.1.2.3 :: fd00:ec2::254 fd20:ce::254
febf::1 ff02::1 100:0:0:1::1 2001:2::1 2001:3::1 2001:4:112::1 2001:20::1 2001:30::1
2620:4f:8000::1 3ffe::1 4000::1 e000::1 64:ff9b::a9fe:a9fe ::ffff:0:127.0.0.1
2606:4700::1111%eth0
""".split()  # noqa: SIM905 - quotes would hide the addresses

OUTSIDE = """
1.1.1.1 2606:4700::1111 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0
126.255.255.255 128.0.0.0 168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0
172.15.255.255 172.32.0.0 192.0.1.0 192.88.98.255 192.167.255.255 192.169.0.0
198.17.255.255 198.20.0.0 223.255.255.255 2001:200:: 2001:4860:4860::8888 2003::
2a00:1450:4001:800::200e 64:ff9b::808:808
""".split()  # noqa: SIM905 - quotes would hide the addresses

ipv4 = st.ip_addresses(v=4) | st.sampled_from(
    [IPv4Address(text) for text in INSIDE + OUTSIDE if ":" not in text]
)


@pytest.mark.parametrize("text", INSIDE)
def test_a_special_purpose_address_is_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", OUTSIDE)
def test_an_ordinary_address_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@given(ipv4)
@example(IPv4Address("127.0.0.1"))
def test_nat64_is_judged_as_the_ipv4_address_it_embeds(inner: IPv4Address) -> None:
    outer = IPv6Address(int(IPv6Address("64:ff9b::")) + int(inner))
    assert is_public(outer) == is_public(inner)


@pytest.mark.parametrize(
    ("prefix", "shift"),
    [("::ffff:0:0", 0), ("::", 0), ("::ffff:0:0:0", 0), ("2002::", 80)],
    ids=["mapped", "compatible", "translated", "6to4"],
)
@given(inner=ipv4)
def test_other_forms_of_an_ipv4_address_are_refused(
    prefix: str, shift: int, inner: IPv4Address
) -> None:
    outer = IPv6Address(int(IPv6Address(prefix)) + (int(inner) << shift))
    assert not is_public(outer)


@given(st.ip_addresses())
def test_no_address_that_the_standard_library_calls_private_is_public(
    address: IPv4Address | IPv6Address,
) -> None:
    assert not is_public(address) or address.is_global


@pytest.mark.parametrize(
    "text", ["example.com", "a", "xn--mnchen-3ya.de", "_a.b-c.d1", "a" * 63 + ".com"]
)
def test_a_dns_name_is_a_name(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "a..b", "-a.com", "a-.com", "a b", "a%00b", "a\\b", "a/b", "[::1]"),
        *("2130706433", "0x7f.1", "0x7f000001", "127.1", "0177.0.0.1", "a.0x", "a.1"),
        *(
            "1.2.3.4.5",
            "a" * 64 + ".com",
            "a." * 127 + "com",
            "a\n",
            "ex\u00e4mple.com",
        ),
    ],
)
def test_anything_that_some_reader_takes_for_an_address_is_no_name(text: str) -> None:
    assert not is_name(text)


async def test_the_system_resolves_its_own_name_to_loopback() -> None:
    found = await SystemResolver(1)("localhost", 443)
    assert found
    assert all(ip_address(text).is_loopback for text in found)


async def test_a_name_that_cannot_exist_is_an_os_error_or_bad_text() -> None:
    with pytest.raises((OSError, UnicodeError)):
        await SystemResolver(1)("a" * 64, 443)
