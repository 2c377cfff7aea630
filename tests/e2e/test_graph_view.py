"""The page that draws the graph, in a real browser."""

import re
from collections.abc import Generator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from odd_files import photo
from servers import Server, running

pytestmark = pytest.mark.needs("chromium")

KEY = "a-key-of-sixteen-letters-or-more"


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Generator[Page]:
    """A tab; the browser's complaints, such as of the policy, fail the test."""
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()
    # A browser logs every answer that is no success, and the page tells of it.
    assert [text for text in complaints if "status of 4" not in text] == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    folder = tmp_path_factory.mktemp("drawn")
    with running(folder, DINOSERVE_MODEL="stub") as server:
        yield server


def fill(server: Server, **headers: str) -> str:
    """Give an asset that a tag leads to; return its node."""
    with server.client(**headers) as client:
        given = client.post("/v1/assets", files={"file": ("a.jpg", photo(1))})
        node = f"asset:{given.json()['id']}"
        edges = [("tag:hero", node), (node, "tag:far"), ("tag:hero", "tag:other")]
        relations = [
            {"source": one, "target": two, "kind": "shows", "weight": 0.5}
            for one, two in edges
        ]
        answer = client.post("/v1/graph/relations", json={"relations": relations})
        assert answer.status_code == 200
    return node


def test_it_draws_what_is_near_a_node_with_thumbnails(
    page: Page, server: Server
) -> None:
    node = fill(server)

    page.goto(f"{server.url}/v1/graph/view?node=tag:hero")

    expect(page.locator(".node")).to_have_count(3)
    expect(page.locator("line")).to_have_count(2)
    expect(page.locator("#legend li")).to_have_text(["shows"])
    picture = page.locator(f'[data-node="{node}"] image')
    expect(picture).to_have_attribute("href", re.compile(f"^blob:{server.url}/"))


def test_a_click_draws_what_is_near_the_node_that_was_clicked(
    page: Page, server: Server
) -> None:
    node = fill(server)
    page.goto(f"{server.url}/v1/graph/view?node=tag:hero")
    expect(page.locator(".node")).to_have_count(3)

    page.locator(f'[data-node="{node}"]').focus()
    page.keyboard.press("Enter")

    expect(page.locator('[data-node="tag:far"]')).to_have_count(1)


def test_a_click_of_the_mouse_does_so_too(page: Page, server: Server) -> None:
    node = fill(server)
    page.goto(f"{server.url}/v1/graph/view?node=tag:hero")
    expect(page.locator(".node")).to_have_count(3)

    # It clicks where the node is once that lies still.
    page.locator(f'[data-node="{node}"]').click()

    expect(page.locator('[data-node="tag:far"]')).to_have_count(1)


def test_wheel_and_pointer_zoom_and_move_the_drawing(
    page: Page, server: Server
) -> None:
    fill(server)
    page.goto(f"{server.url}/v1/graph/view?node=tag:hero")
    expect(page.locator(".node")).to_have_count(3)
    before = page.locator("#world").get_attribute("transform")

    page.mouse.move(100, 300)
    page.mouse.wheel(0, -300)
    expect(page.locator("#world")).not_to_have_attribute("transform", before or "")
    zoomed = page.locator("#world").get_attribute("transform")
    page.mouse.down()
    page.mouse.move(160, 320)
    page.mouse.up()

    expect(page.locator("#world")).not_to_have_attribute("transform", zoomed or "")


def test_a_node_that_is_not_there_is_told_of(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/v1/graph/view")
    page.locator("#node").fill("planet:mars")
    page.locator("#start button").first.click()

    expect(page.locator("#status")).to_contain_text("kind:name")


def test_with_keys_it_asks_for_one_and_keeps_it_for_the_tab(
    page: Page, tmp_path: Path
) -> None:
    with running(tmp_path, DINOSERVE_MODEL="stub", DINOSERVE_API_KEYS=KEY) as server:
        node = fill(server, authorization=f"Bearer {KEY}")
        page.goto(f"{server.url}/v1/graph/view?node=tag:hero")
        page.locator("#key").fill(KEY)
        page.locator("#unlock button").click()

        expect(page.locator(f'[data-node="{node}"] image')).to_have_count(1)
        page.reload()
        expect(page.locator(".node")).to_have_count(3)
        expect(page.locator("#unlock")).to_be_hidden()


def test_the_page_may_ask_this_server_only(server: Server) -> None:
    answer = httpx2.get(f"{server.url}/v1/graph/view")

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
