"""Manifests: what their rows may say, and how one that is wrong is told of."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoserve.domain.assets import Metadata
from dinoserve.domain.manifests import MAX_BYTES, Picture, pictures
from dinoserve.errors import InvalidInputError

URL = "https://example.org/a.jpg"


def test_csv_and_ndjson_say_the_same() -> None:
    row = {
        "url": URL,
        "collection": "cats",
        "filename": "b.jpg",
        "subject": "Tom",
        "tags": ["a", "b"],
        "metadata": {"scene": 12},
    }
    csv = (
        "url,collection,filename,subject,tags,metadata\n"
        f'{URL},cats,b.jpg,Tom,a; b,"{{""scene"": 12}}"\n'
    )

    assert pictures(csv) == pictures(json.dumps(row)) == [_picture(row)]


def _picture(row: Metadata) -> Picture:
    return Picture.from_item(json.dumps(row))


def test_what_a_row_leaves_empty_is_not_said() -> None:
    assert pictures(f"url,tags,metadata,collection\n{URL},,,\n") == [Picture(url=URL)]
    assert pictures(f'{{"url": "{URL}", "tags": null}}') == [Picture(url=URL)]


def test_rows_come_in_their_order_and_blank_ones_are_passed_over() -> None:
    text = "\ufeffpath\r\n/a.jpg\r\n\r\n/b.jpg\r\n"

    assert [picture.path for picture in pictures(text)] == ["/a.jpg", "/b.jpg"]


def test_a_quoted_value_may_go_over_lines_of_csv() -> None:
    text = 'url,metadata\nhttps://a.org/1,"{\n}"\nhttps://a.org/2,\n'

    assert len(pictures(text)) == 2


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("", 1, "no pictures"),
        ("url\n", 1, "no pictures"),
        ("https://a.org/1\nhttps://a.org/2\n", 2, "there are url"),
        ("url,colour\nhttps://a.org/1,red\n", 2, "`colour`"),
        ("url,url\nhttps://a.org/1,x\n", 1, "one name"),
        ("url\nhttps://a.org/1,more\n", 2, "`too much`"),
        ('url\n"https://a.org', 2, "no CSV"),
        ("url\nhttp://a.org/1\n", 2, "https"),
        ("url\nfile:///etc/passwd\n", 2, "https"),
        ("url,path\nhttps://a.org/1,/b\n", 2, "just one"),
        ("url,collection\nhttps://a.org/1,a b\n", 2, "collection"),
        ("url,metadata\nhttps://a.org/1,{\n", 2, "not JSON"),
        ("url,metadata\nhttps://a.org/1,[]\n", 2, "no JSON object"),
        ("path\n/a.jpg\n/b\x07.jpg\n", 3, "control"),
        (f'{{"url": "{URL}"}}\n{{"url"\n', 2, "not JSON"),
        (f'{{"url": "{URL}"}}\n[]\n', 2, "no JSON object"),
        ('{"tags": ["a"]}', 1, "just one"),
        ('{"url": 7}', 1, "`url`"),
        (f'{{"url": "{URL}", "tags": "a"}}', 1, "`tags`"),
        (f'{{"url": "{URL}", "tags": [1]}}', 1, "`tags`"),
        (f'{{"url": "{URL}", "metadata": {{"a": 1e400}}}}', 1, "Metadata"),
        (f'{{"url": "{URL}", "filename": ""}}', 1, "`filename`"),
        ('{"url": "https://a.org/' + "a" * 4096 + '"}', 1, "4096"),
    ],
)
def test_a_row_that_is_wrong_is_named(text: str, line: int, told: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        pictures(text)

    assert told in caught.value.detail
    assert (caught.value.extra["field"], caught.value.extra["line"]) == (
        "manifest",
        line,
    )


def test_a_manifest_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(InvalidInputError) as caught:
        pictures("é" * (MAX_BYTES // 2 + 1))

    assert caught.value.extra["limit"] == MAX_BYTES
    assert caught.value.extra["value"] == MAX_BYTES + 2


@given(st.text(max_size=200) | st.text('{}[]",:;\n\r url/path', max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = pictures(text)
    except InvalidInputError:
        return
    assert all(picture.source for picture in found)


PICTURE = st.builds(
    Picture,
    path=st.text(st.characters(codec=None), min_size=1),
    tags=st.lists(st.text()).map(tuple),
    metadata=st.dictionaries(st.text(), st.integers() | st.text()),
    collection=st.none() | st.text(min_size=1),
)


@given(PICTURE)
def test_an_item_gives_back_what_it_was_made_of(picture: Picture) -> None:
    item = picture.to_item()

    assert Picture.from_item(item) == picture
    assert item.isascii()
