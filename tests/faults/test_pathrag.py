"""The server or its PathRAG dies: nothing that was acknowledged is lost or doubled."""

from pathlib import Path
from typing import Any

import httpx2

from job_site import until
from odd_files import photo
from pathrag_server import PathRagServer, pathrag
from servers import running
from stored import uploaded

MANY = 60


def nowhere() -> PathRagServer:
    """One that is away, and whose port nobody else has so soon."""
    with pathrag() as server:
        return server


def port_of(server: PathRagServer) -> int:
    return int(server.url.rpartition(":")[2])


def relate(client: httpx2.Client, *relations: dict[str, Any]) -> None:
    answer = client.post("/v1/graph/relations", json={"relations": relations})
    assert answer.status_code == 200, answer.text


def related(source: str, target: str) -> dict[str, Any]:
    return {"source": source, "target": target, "kind": "shows", "weight": 0.5}


def many() -> list[dict[str, Any]]:
    return [related(f"entity:{n}", f"tag:{n % 7}") for n in range(MANY)]


def whole(server: PathRagServer) -> bool:
    """Tell whether each of the many is there."""
    return len(server.links) == MANY


def test_a_server_killed_after_its_word_tells_pathrag_at_its_next_start(
    tmp_path: Path,
) -> None:
    away = nowhere()
    with running(tmp_path, DINOSERVE_MODEL="stub", DINOSERVE_PATHRAG=away.url) as one:
        with one.client() as client, pathrag(away, port_of(away)):
            gone = uploaded(client, photo(1), subject="Ann")
            relate(client, related(f"asset:{gone}", "tag:whiskers"))
            until(lambda: gone.upper() in str(away.links))
        with one.client() as client:
            relate(client, *many())
            assert client.delete(f"/v1/assets/{gone}").status_code == 204
        one.kill()
        with pathrag(away, port_of(away)):
            one.start()
            until(lambda: whole(away))
            until(lambda: not any(each in away.kept for each in ("Ann", "whiskers")))
    assert gone.upper() not in away.kept


def test_a_server_killed_while_it_tells_goes_on_at_its_next_start(
    tmp_path: Path,
) -> None:
    with (
        pathrag() as server,
        running(tmp_path, DINOSERVE_MODEL="stub", DINOSERVE_PATHRAG=server.url) as one,
    ):
        until(lambda: "WHOLE" in server.kept)
        server.faults = {"/query": "slow"}
        with one.client() as client:
            relate(client, *many())
        until(lambda: len(server.links) > 0)
        one.kill()
        assert not whole(server)
        server.faults = {}
        one.start()
        until(lambda: whole(server))
