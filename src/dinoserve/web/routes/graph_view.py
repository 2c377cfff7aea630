"""The page that draws the graph, over HTTP."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from dinoserve.web.graph_page import graph_page
from dinoserve.web.problems import responses

router = APIRouter(prefix="/v1/graph", tags=["graph"])


@router.get("/view", response_class=HTMLResponse, responses=responses())
async def view_graph() -> HTMLResponse:
    """Show a page that draws the graph around a node: `?node=asset:…`.

    The page itself has no data and needs no key; it asks for one where the server
    wants it, and keeps it for as long as its tab is open.
    """
    page = graph_page()
    headers = {
        "content-security-policy": page.policy,
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    return HTMLResponse(page.html, headers=headers)
