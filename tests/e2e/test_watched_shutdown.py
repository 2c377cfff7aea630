"""A server that is told to stop does not wait for those who watch its jobs."""

from pathlib import Path

from servers import running


def test_a_watched_server_stops_without_waiting_for_its_watchers(
    tmp_path: Path,
) -> None:
    env = {"DINOSERVE_MODEL": "stub", "DINOSERVE_JOB_SLOTS": "0"}
    with running(tmp_path / "data", **env) as server, server.client() as client:
        place = client.post("/v1/jobs", json={"kind": "embed"}).headers["location"]
        with client.stream("GET", f"{place}/events") as events:
            pieces = events.iter_text()
            assert next(pieces).startswith("event: job")
            code = server.stop()
            assert "".join(pieces) == ""
        assert (code, "timeout" in server.output) == (0, False)
