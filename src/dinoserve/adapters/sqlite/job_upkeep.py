"""What keeps results of jobs true, and queues bounded: `ports.JobUpkeep` in SQLite."""

import json
import sqlite3
from collections.abc import Collection
from datetime import datetime
from typing import Final

from dinoserve.adapters.sqlite.job_rows import JOB, job_of
from dinoserve.domain.job_erasure import Erasure, covered
from dinoserve.domain.jobs import Job
from dinoserve.domain.times import to_microseconds
from dinoserve.ports import Waiting

_COLUMNS: Final = ", ".join(f"job.{name}" for name in JOB)


def cover(connection: sqlite3.Connection, old: Job | None, new: Job) -> None:
    """Note what the job covers by now."""
    names = covered(new)
    if old is not None and bool(covered(old)) == bool(names):
        return  # what its parameters name does not change
    connection.execute("DELETE FROM job_cover WHERE job_id = ?", (new.id,))
    connection.executemany(
        "INSERT INTO job_cover (name, job_id) VALUES (?, ?)",
        [(name, new.id) for name in sorted(names)],
    )


def telling(
    connection: sqlite3.Connection, names: Collection[str], after: str, limit: int
) -> list[Job]:
    """Return jobs that cover any of these names, by id."""
    rows = connection.execute(
        f"""SELECT {_COLUMNS} FROM job WHERE id IN (
            SELECT job_id FROM job_cover
            WHERE name IN (SELECT value FROM json_each(?)) AND job_id > ?
        ) ORDER BY id LIMIT ?""",  # noqa: S608 - only names of our columns are put in
        (json.dumps(list(names), ensure_ascii=False), after, limit),
    )
    return [job_of(row) for row in rows]


def untidy(connection: sqlite3.Connection, before: datetime, limit: int) -> list[Job]:
    """Return jobs with leftovers that were over by then, by id."""
    rows = connection.execute(
        f"""SELECT {_COLUMNS} FROM job WHERE has_leftovers AND finished_at <= ?
        ORDER BY id LIMIT ?""",  # noqa: S608 - only names of our columns are put in
        (to_microseconds(before), limit),
    )
    return [job_of(row) for row in rows]


def waiting(connection: sqlite3.Connection, most: int) -> list[Waiting]:
    """Return how much waits of each kind and collection."""
    rows = connection.execute(
        """SELECT kind, collection, count(*), sum(min(?, max(1,
            json_extract(progress, '$.chunks') - json_extract(progress, '$.ended')
        ))) FROM job WHERE state IN ('queued', 'running') GROUP BY kind, collection""",
        (most,),
    )
    return [Waiting(*row) for row in rows]


def erasures(connection: sqlite3.Connection, limit: int) -> list[Erasure]:
    """Return erasures that were not settled, the oldest first."""
    rows = connection.execute(
        "SELECT seq, asset_id, collection FROM erasure ORDER BY seq LIMIT ?", (limit,)
    )
    return [Erasure(str(seq), asset, collection) for seq, asset, collection in rows]


def settle(connection: sqlite3.Connection, erasures: Collection[Erasure]) -> None:
    """Forget these erasures."""
    connection.executemany(
        "DELETE FROM erasure WHERE seq = ?", [(int(each.key),) for each in erasures]
    )
