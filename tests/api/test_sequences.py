"""Jobs of kind `sequence` over HTTP: shots, what does not fit, and the report."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncGenerator
from html.parser import HTMLParser
from io import BytesIO
from typing import Any

import httpx2
import pytest
from PIL import Image

from character_site import BUNDLED, created, give, scene
from in_process import connect_in_process

LIVE = {"queued", "running"}


@pytest.fixture
async def client() -> AsyncGenerator[httpx2.AsyncClient]:
    async with connect_in_process(**BUNDLED) as client:
        yield client


def at(asset: str, left: int = 96) -> dict[str, object]:
    """An asset with a box around its figure."""
    return {"asset": asset, "box": [left, 64, left + 128, 192]}


async def shots(
    client: httpx2.AsyncClient, count: int, *, odd: int | None = None
) -> list[str]:
    """Give so many shots of a figure; the odd one shows another."""
    return [
        await give(client, scene(seed, hat="blue" if seed == odd else "red"))
        for seed in range(count)
    ]


async def submitted(client: httpx2.AsyncClient, **parameters: object) -> str:
    body = {"kind": "sequence", "parameters": parameters}
    answer = await client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


async def over(client: httpx2.AsyncClient, job_id: str) -> dict[str, Any]:
    async with asyncio.timeout(90):
        while True:
            job = (await client.get(f"/v1/jobs/{job_id}")).json()
            if job["state"] not in LIVE:
                return job
            await asyncio.sleep(0.05)


async def done(client: httpx2.AsyncClient, **parameters: object) -> dict[str, Any]:
    job = await over(client, await submitted(client, **parameters))
    assert job["state"] == "succeeded", job
    return job


class Page(HTMLParser):
    """What a page has: tags with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


async def page_of(client: httpx2.AsyncClient, job: dict[str, Any]) -> Page:
    answer = await client.get(f"/v1/jobs/{job['id']}/result")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Page(answer.text)


async def test_every_shot_is_compared_with_the_first_and_the_one_before(
    client: httpx2.AsyncClient,
) -> None:
    ids = await shots(client, 3)

    job = await done(client, shots=ids)

    told = job["result"]["shots"]
    assert [each["asset"] for each in told] == ids
    assert [each["reference"] for each in told] == [ids[0]] * 3
    assert told[0]["foreground"] == pytest.approx(1, abs=1e-5)
    assert told[0]["to_previous"] is None
    assert told[1]["to_first"] == told[1]["to_previous"] == told[1]["foreground"]
    assert told[2]["to_first"] == told[2]["foreground"]
    pairs = [each[to] for each in told[1:] for to in ("to_first", "to_previous")]
    assert job["result"]["consistency"]["foreground"] == pytest.approx(
        sum(pairs) / 4, abs=1e-5
    )


async def test_the_scores_are_those_of_a_check(client: httpx2.AsyncClient) -> None:
    ids = await shots(client, 3)
    character = await created(client, at(ids[0]))
    body = {"assets": [at(asset) for asset in ids]}
    checks = (await client.post(f"/v1/characters/{character}/check", json=body)).json()

    parameters = {"shots": body["assets"], "character": character}
    job = await done(client, **parameters)

    for shot, check in zip(job["result"]["shots"], checks["assets"], strict=True):
        likeness = check["appearance_similarity"]
        assert shot["foreground"] == pytest.approx(likeness["foreground"], abs=1e-6)
        assert shot["whole_image"] == pytest.approx(likeness["whole_image"], abs=1e-6)


async def test_the_shot_of_another_figure_is_the_first_to_make_again(
    client: httpx2.AsyncClient,
) -> None:
    ids = await shots(client, 20, odd=13)

    job = await done(client, shots=[at(asset) for asset in ids])

    first = job["result"]["misfits"][0]
    assert (first["asset"], first["position"]) == (ids[13], 13)
    [reason, *_] = first["reasons"]
    assert reason["why"] == "unlike_reference"
    assert reason["value"] < reason["limit"]
    assert reason["limit"] == job["result"]["limits"]["unlike_reference"]
    page = await page_of(client, job)
    assert page.text.index(ids[13]) > page.text.index("To make again")


async def test_the_page_needs_nothing_from_elsewhere_and_shows_every_shot(
    client: httpx2.AsyncClient,
) -> None:
    ids = await shots(client, 6, odd=3)

    page = await page_of(client, await done(client, shots=ids))

    assert "script" not in {tag for tag, _ in page.tags}
    links = [
        value
        for _, attrs in page.tags
        for name, value in attrs.items()
        if name in {"src", "href", "action", "data", "srcset"}
    ]
    assert len(links) >= 6
    for link in links:
        data = b64decode((link or "").removeprefix("data:image/jpeg;base64,"))
        assert max(Image.open(BytesIO(data), formats=["JPEG"]).size) == 240


async def test_names_are_escaped(client: httpx2.AsyncClient) -> None:
    files = {"file": ("<script>alert(1)</script>.png", scene(1))}
    one = (await client.post("/v1/assets", files=files)).json()
    other = await give(client, scene(2))

    job = await done(client, shots=[one["id"], other])

    page = await page_of(client, job)
    assert "script" not in {tag for tag, _ in page.tags}
    assert one["filename"] in page.text


async def test_a_mismatch_by_a_calibration_is_a_reason(
    client: httpx2.AsyncClient,
) -> None:
    hats = ("red", "blue", "green", "yellow")
    shown = {
        await give(client, scene(9 * n + at, hat=hat)): hat
        for at, hat in enumerate(hats)
        for n in range(4)
    }
    ids = list(shown)
    pairs = [
        {"left": left, "right": right, "same": shown[left] == shown[right]}
        for place, left in enumerate(ids)
        for right in ids[place + 1 :]
    ]
    body = {"pairs": pairs, "target_fpr": 0.1, "regions": [at(each) for each in ids]}
    made = await client.post("/v1/calibrations", json=body)
    assert made.status_code == 201, made.text

    job = await done(client, shots=[at(each) for each in ids])

    threshold = made.json()["threshold"]
    scores = {each["asset"]: each["foreground"] for each in job["result"]["shots"]}
    below = {asset for asset, score in scores.items() if score < threshold - 1e-6}
    told = {
        each["asset"]
        for each in job["result"]["misfits"]
        if any(reason["why"] == "no_match" for reason in each["reasons"])
    }
    assert below
    assert told == below


async def test_a_shot_without_a_vector_fails_alone(client: httpx2.AsyncClient) -> None:
    ids = await shots(client, 2)
    files = {"file": scene(9)}
    bare = await client.post("/v1/assets", files=files, params={"embed": "false"})
    bare_id = bare.json()["id"]

    job = await done(client, shots=[ids[0], bare_id, ids[1]])

    assert job["progress"]["failed"] == 1
    told = job["result"]["shots"]
    assert [(each["asset"], each["position"]) for each in told] == [
        (ids[0], 0),
        (ids[1], 2),
    ]
    assert told[1]["to_previous"] is None


async def test_without_any_vector_every_shot_fails_with_the_reason(
    client: httpx2.AsyncClient,
) -> None:
    ids: list[str] = []
    for seed in range(2):
        files = {"file": scene(seed)}
        bare = await client.post("/v1/assets", files=files, params={"embed": "false"})
        ids.append(bare.json()["id"])

    job = await over(client, await submitted(client, shots=ids))

    assert job["state"] == "failed"
    assert job["progress"]["reasons"] == {"asset-not-embedded": 2}


async def test_a_shot_is_no_measurement_of_its_own_drift(
    client: httpx2.AsyncClient,
) -> None:
    first, second = await shots(client, 2)
    third = await give(client, scene(7))

    two = (await done(client, shots=[first, second]))["result"]
    three = (await done(client, shots=[first, second, third]))["result"]

    assert two["drift_per_shot"] is None
    assert two["drift_from_first_per_shot"] is None
    _, *later = (each["foreground"] for each in three["shots"])
    assert three["drift_per_shot"] == pytest.approx(later[1] - later[0], abs=1e-5)


async def test_nothing_is_left_of_a_report_once_a_shot_is_erased(
    client: httpx2.AsyncClient,
) -> None:
    ids = await shots(client, 3)
    job = await done(client, shots=ids)

    await client.delete(f"/v1/assets/{ids[1]}")

    answer = await client.get(f"/v1/jobs/{job['id']}/result")
    assert answer.status_code in {404, 409, 410}, answer.text
    assert "image/jpeg" not in answer.text


async def test_what_cannot_be_compared_fails_the_job_with_the_reason(
    client: httpx2.AsyncClient,
) -> None:
    one, two = await shots(client, 2)
    foreign = await give(client, scene(5), collection="other")
    empty = await created(client)
    cases: list[tuple[dict[str, object], str]] = [
        ({"shots": [one, "0" * 32]}, "No asset has the id"),
        ({"shots": [one, foreign]}, "not of default"),
        ({"shots": [one, foreign]}, foreign),
        ({"shots": [one, one]}, f"named once; {one}"),
        ({"shots": [one, {"asset": two, "box": [0, 0, 9000, 9]}]}, two),
        ({"shots": [one, two], "character": "0" * 32}, "No character"),
        ({"shots": [one, two], "character": empty}, "no references"),
    ]
    for parameters, reason in cases:
        job = await over(client, await submitted(client, **parameters))
        assert job["state"] == "failed", (parameters, job)
        assert reason in job["error"]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "parameters.shots"),
        ({"shots": ["0" * 32]}, "parameters.shots"),
        ({"shots": ["0" * 32] * 501}, "parameters.shots"),
        ({"shots": ["0" * 32] * 2, "drifted_below": 2}, "parameters.drifted_below"),
        ({"shots": ["0" * 32] * 2, "character": "x"}, "parameters.character"),
    ],
)
async def test_parameters_out_of_bounds_make_no_job(
    client: httpx2.AsyncClient, parameters: dict[str, object], field: str
) -> None:
    body = {"kind": "sequence", "parameters": parameters}

    answer = await client.post("/v1/jobs", json=body)

    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field
    assert (await client.get("/v1/jobs")).json()["jobs"] == []
