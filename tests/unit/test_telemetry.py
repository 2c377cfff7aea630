"""A log that callers cannot write into."""

import io
import logging

import pytest

from dinoserve.telemetry import configure_logging


def test_what_a_caller_sends_never_begins_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info")

    logging.getLogger("dinoserve.access").info("GET %s", "/x\n2026-11-23 forged\x1b[2J")

    [line] = io.StringIO(capsys.readouterr().err).readlines()
    assert line.endswith("GET /x\\n2026-11-23 forged\\x1b[2J\n")
