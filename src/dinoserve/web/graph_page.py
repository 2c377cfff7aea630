"""The page that draws the graph: one document, and what it may do."""

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class GraphPage(NamedTuple):
    """A page, and the content security policy that it is sent with.

    Attributes:
        html: with its style and script inside; it asks for nothing from elsewhere.
        policy: CSP level 3: just this style and script, and requests to this server.
    """

    html: str
    policy: str


@cache
def graph_page() -> GraphPage:
    """Return the page; it is read once."""
    folder = files("dinoserve.web")
    style, script, html = (
        folder.joinpath(f"graph_view.{ending}").read_text("utf-8")
        for ending in ("css", "js", "html")
    )
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'; connect-src 'self'; img-src blob:;"
        f" style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    )
    return GraphPage(html.replace("{style}", style).replace("{script}", script), policy)


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
