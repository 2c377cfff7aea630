"""Changing the model: vectors of two recipes never meet, and assets can move over."""

from pathlib import Path
from typing import Any

import httpx2

from odd_files import photo
from servers import running
from stored import data_uri, search, uploaded


def recipes(client: httpx2.Client) -> dict[str, dict[str, Any]]:
    """Return the recipes the server knows, by the name of their model."""
    answer = client.get("/v1/models").json()["recipes"]
    return {recipe["model"]: recipe for recipe in answer}


def test_assets_of_another_model_are_refused_until_they_are_embedded_again(
    tmp_path: Path,
) -> None:
    with running(tmp_path, DINOSERVE_MODEL="stub") as old:
        with old.client() as client:
            keys = [uploaded(client, photo(seed)) for seed in range(3)]
        assert old.stop() == 0
    with running(tmp_path) as new, new.client() as client:
        before = recipes(client)
        assert {name: item["embeddings"] for name, item in before.items()} == {
            "stub": 3,
            "bundled": 0,
        }
        for query in ({"asset": keys[0]}, {"image": data_uri(photo(9))}):
            refusal = client.post("/v1/search", json={"query": query})
            assert refusal.status_code == 409
            assert refusal.json()["type"] == "/problems/recipe-mismatch"
            for recipe in before.values():
                assert recipe["id"] in refusal.json()["detail"]
        moved = client.post("/v1/embeddings", json={"input": keys})
        assert moved.status_code == 200
        assert search(client, {"asset": keys[0]}).keys() == {keys[1], keys[2]}
        assert {name: item["embeddings"] for name, item in recipes(client).items()} == {
            "stub": 3,
            "bundled": 3,
        }
        erased = client.delete(f"/v1/assets/{keys[0]}")
        assert erased.status_code == 204
        after = recipes(client)
        assert [item["embeddings"] for item in after.values()] == [2, 2]
