"""Links and tokens: what the server signed it knows again, and nothing else."""

import string
from urllib.parse import parse_qs

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dinoserve.domain.links import KEY_BYTES, Signer
from dinoserve.errors import LinkRefusedError

NOW = 1_800_000_000
SIGNER = Signer(bytes(range(KEY_BYTES)))
OTHER = Signer(bytes(KEY_BYTES))
PATH = "/v1/assets/00/content"

methods = st.sampled_from(["GET", "PUT", "POST", "DELETE"])
paths = st.text(string.ascii_letters + string.digits + "._-/").map("/".__add__)
queries = st.dictionaries(st.text(min_size=1), st.text()).filter(
    lambda query: not query.keys() & {"expires", "signature"}
)


def parts(link: str) -> tuple[str, str]:
    path, _, query = link.partition("?")
    return path, query


@given(methods, paths, queries, st.integers(NOW + 1, NOW + 10**6))
def test_a_link_is_known_again_with_all_that_it_says(
    method: str, path: str, query: dict[str, str], expires_at: int
) -> None:
    own_path, text = parts(SIGNER.link(method, path, query, expires_at))
    assert SIGNER.check(method, own_path, text, NOW)
    told = parse_qs(text, keep_blank_values=True)
    assert own_path == path
    assert {name: told[name] for name in query} == {k: [v] for k, v in query.items()}


@given(st.data())
def test_a_link_that_was_changed_anywhere_is_refused(data: st.DataObject) -> None:
    path, query = parts(SIGNER.link("GET", PATH, {"width": "64"}, NOW + 60))
    place = data.draw(st.integers(0, query.index("&signature=") - 1))
    char = data.draw(st.characters(codec="latin-1", exclude_characters=query[place]))
    changed = query[:place] + char + query[place + 1 :]
    with pytest.raises(LinkRefusedError):
        SIGNER.check("GET", path, changed, NOW)


@given(st.text(st.characters(codec="latin-1")))
def test_another_signature_is_refused(text: str) -> None:
    path, query = parts(SIGNER.link("GET", PATH, {}, NOW + 60))
    body, _, own = query.rpartition("=")
    assume(text != own)
    assume("&signature=" not in text)
    with pytest.raises(LinkRefusedError):
        SIGNER.check("GET", path, f"{body}={text}", NOW)


@pytest.mark.parametrize(
    "changed",
    [
        "{query}&width=4096",
        "width=4096&{query}",
        "{query}&signature=x",
    ],
)
def test_nothing_can_be_added_to_a_link(changed: str) -> None:
    path, query = parts(SIGNER.link("GET", PATH, {"width": "64"}, NOW + 60))
    with pytest.raises(LinkRefusedError):
        SIGNER.check("GET", path, changed.format(query=query), NOW)


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", PATH), ("GET", PATH.replace("00", "01"))]
)
def test_a_link_is_good_for_its_method_and_path_only(method: str, path: str) -> None:
    query = parts(SIGNER.link("GET", PATH, {}, NOW + 60))[1]
    with pytest.raises(LinkRefusedError):
        SIGNER.check(method, path, query, NOW)


def test_who_may_get_may_ask_for_the_headers() -> None:
    path, query = parts(SIGNER.link("GET", PATH, {}, NOW + 60))
    assert SIGNER.check("HEAD", path, query, NOW)


@pytest.mark.parametrize("late_s", [0, 0.5, 1, 10**6])
def test_a_link_is_refused_from_its_last_second_on(late_s: float) -> None:
    path, query = parts(SIGNER.link("GET", PATH, {}, NOW))
    with pytest.raises(LinkRefusedError, match="time"):
        SIGNER.check("GET", path, query, NOW + late_s)


@pytest.mark.parametrize("query", ["", "width=64", "signature=x", "a=b&sign=x"])
def test_a_request_without_a_signature_is_no_link(query: str) -> None:
    assert not SIGNER.check("GET", PATH, query, NOW)


@given(st.text(), st.text())
def test_a_token_is_known_again(purpose: str, text: str) -> None:
    token = SIGNER.token(purpose, text)
    assert SIGNER.text_of(purpose, token) == text
    assert set(token) <= set(string.ascii_letters + string.digits + "-_.")


@given(st.text(), st.data())
def test_a_token_that_was_changed_anywhere_is_refused(
    text: str, data: st.DataObject
) -> None:
    token = SIGNER.token("upload", text)
    place = data.draw(st.integers(0, len(token) - 1))
    char = data.draw(st.characters(codec="utf-8", exclude_characters=token[place]))
    with pytest.raises(LinkRefusedError):
        SIGNER.text_of("upload", token[:place] + char + token[place + 1 :])


@given(st.text())
def test_text_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(LinkRefusedError):
        SIGNER.text_of("upload", text)


def test_a_token_is_good_for_its_purpose_only() -> None:
    with pytest.raises(LinkRefusedError):
        SIGNER.text_of("download", SIGNER.token("upload", "x"))


def test_another_key_knows_neither_link_nor_token() -> None:
    path, query = parts(OTHER.link("GET", PATH, {}, NOW + 60))
    with pytest.raises(LinkRefusedError):
        SIGNER.check("GET", path, query, NOW)
    with pytest.raises(LinkRefusedError):
        SIGNER.text_of("upload", OTHER.token("upload", "x"))


def test_the_key_is_never_shown() -> None:
    assert repr(SIGNER.key) not in repr(SIGNER)
