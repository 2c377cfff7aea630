"""JSON bodies are read off the event loop where they are large, and within bounds."""

import threading

import pytest
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, field_validator
from starlette.types import Message

from dinoserve.errors import InvalidInputError
from dinoserve.web.bodies import MAX_VALUES, parse_json, read_json


class Note(BaseModel):
    """Remembers which thread read it."""

    text: str
    read_by: str = ""

    @field_validator("read_by", mode="before")
    @classmethod
    def _told(cls, _value: object) -> str:
        return threading.current_thread().name


class Row(BaseModel):
    cells: list[int | bool | None]


def request(body: bytes, media_type: bytes = b"application/json") -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    scope = {"type": "http", "headers": [(b"content-type", media_type)]}
    return Request(scope, receive)


def note(length: int) -> bytes:
    return b'{"text": "' + b"a" * length + b'", "read_by": ""}'


async def test_a_large_body_is_read_by_another_thread() -> None:
    read = await read_json(request(note(140_000)), Note)

    assert (len(read.text), read.read_by == "MainThread") == (140_000, False)


async def test_a_small_body_is_read_at_once() -> None:
    assert (await read_json(request(note(10)), Note)).read_by == "MainThread"


async def test_a_fault_is_told_below_body() -> None:
    with pytest.raises(RequestValidationError) as caught:
        await read_json(request(b'{"text": 1}'), Note)

    assert caught.value.errors()[0]["loc"] == ("body", "text")


async def test_another_media_type_is_refused_by_name() -> None:
    with pytest.raises(InvalidInputError) as caught:
        await read_json(request(note(1), b"text/plain; charset=utf-8"), Note)

    assert caught.value.extra == {"field": "content-type", "value": "text/plain"}


def test_as_many_values_as_allowed_are_read() -> None:
    body = b'{"cells": [' + b",".join([b"1"] * MAX_VALUES) + b"]}"

    assert len(parse_json(body, Row).cells) == MAX_VALUES


def test_more_values_are_refused_before_they_are_parsed() -> None:
    body = b'{"cells": [' + b"," * MAX_VALUES

    with pytest.raises(InvalidInputError) as caught:
        parse_json(body, Row)

    expected = {"field": "body", "limit": MAX_VALUES, "value": MAX_VALUES + 1}
    assert caught.value.extra == expected


def test_more_faults_than_values_allowed_are_counted_only() -> None:
    body = b'{"cells": [' + b",".join([b'"x"'] * (MAX_VALUES - 1)) + b"]}"

    with pytest.raises(InvalidInputError, match="faults"):
        parse_json(body, Row)
