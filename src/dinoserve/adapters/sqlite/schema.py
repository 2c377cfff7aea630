"""The tables, as numbered forward migrations; SQL of SQLite 3.40."""

import sqlite3

from dinoserve.adapters.sqlite.relation_schema import RELATIONS

# Never edit one that was released: append another. Each ends with its number.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # created_at: microseconds since 1970 UTC. tags, metadata: JSON.
        """CREATE TABLE asset (
            id TEXT PRIMARY KEY,
            collection TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            filename TEXT,
            media_type TEXT NOT NULL,
            width INTEGER NOT NULL,
            height INTEGER NOT NULL,
            size_bytes INTEGER NOT NULL,
            created_at INTEGER NOT NULL,
            tags TEXT NOT NULL,
            metadata TEXT NOT NULL,
            subject TEXT
        ) STRICT""",
        "CREATE INDEX asset_by_time ON asset (created_at, id)",
        "CREATE INDEX asset_by_collection ON asset (collection, created_at, id)",
        "CREATE INDEX asset_by_bytes ON asset (sha256)",
        # What filters ask for: see terms.py.
        """CREATE TABLE term (
            asset_id TEXT NOT NULL REFERENCES asset (id) ON DELETE CASCADE,
            key TEXT NOT NULL,
            value ANY NOT NULL,
            PRIMARY KEY (asset_id, key, value)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX term_by_value ON term (key, value, asset_id)",
        # position: a row's place in scans, which VACUUM must not change.
        # vector: little-endian float32.
        """CREATE TABLE embedding (
            position INTEGER PRIMARY KEY,
            asset_id TEXT NOT NULL REFERENCES asset (id) ON DELETE CASCADE,
            recipe TEXT NOT NULL,
            vector BLOB NOT NULL,
            UNIQUE (asset_id, recipe)
        ) STRICT""",
        "CREATE INDEX embedding_by_recipe ON embedding (recipe)",
        # contents: JSON.
        """CREATE TABLE recipe (
            position INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            contents TEXT NOT NULL
        ) STRICT""",
        "CREATE TABLE garbage (sha256 TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
        "PRAGMA user_version = 1",
    ),
    (
        # since: when it was marked or claimed, microseconds since 1970 UTC.
        "ALTER TABLE garbage ADD COLUMN since INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE garbage ADD COLUMN claimed INTEGER NOT NULL DEFAULT 0",
        "PRAGMA user_version = 2",
    ),
    (
        # Columns: see domain/jobs.py. Times: microseconds since 1970 UTC. parameters,
        # progress, result: JSON.
        """CREATE TABLE job (
            id TEXT PRIMARY KEY,
            kind TEXT NOT NULL,
            parameters TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            fingerprint TEXT NOT NULL,
            collection TEXT,
            requester TEXT,
            key TEXT UNIQUE,
            has_finish INTEGER NOT NULL,
            state TEXT NOT NULL,
            version INTEGER NOT NULL,
            started_at INTEGER,
            finished_at INTEGER,
            progress TEXT NOT NULL,
            result TEXT,
            error TEXT
        ) STRICT""",
        "CREATE INDEX job_by_time ON job (created_at, id)",
        "CREATE INDEX job_by_state ON job (state, created_at, id)",
        "CREATE INDEX job_by_kind ON job (kind, created_at, id)",
        "CREATE INDEX job_by_collection ON job (collection, created_at, id)",
        # items, failures: JSON.
        """CREATE TABLE job_chunk (
            job_id TEXT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
            number INTEGER NOT NULL,
            run_at INTEGER NOT NULL,
            items TEXT NOT NULL,
            cursor TEXT,
            state TEXT NOT NULL,
            worker TEXT,
            seen_at INTEGER,
            starts INTEGER NOT NULL,
            tries INTEGER NOT NULL,
            crashes INTEGER NOT NULL,
            done INTEGER NOT NULL,
            failures TEXT NOT NULL,
            error TEXT,
            PRIMARY KEY (job_id, number)
        ) STRICT""",
        "CREATE INDEX job_chunk_by_state ON job_chunk (state, job_id, number)",
        "PRAGMA user_version = 3",
    ),
    (
        # What other processes are told, see changes.py. sha256: of an asset that was
        # erased. collection, recipe: of a vector that was stored or erased.
        """CREATE TABLE change (
            seq INTEGER PRIMARY KEY,
            asset_id TEXT NOT NULL,
            sha256 TEXT,
            collection TEXT,
            recipe TEXT
        ) STRICT""",
        """CREATE TRIGGER asset_added AFTER INSERT ON asset BEGIN
            INSERT INTO change (asset_id) VALUES (NEW.id);
        END""",
        """CREATE TRIGGER asset_changed AFTER UPDATE ON asset BEGIN
            INSERT INTO change (asset_id) VALUES (NEW.id);
        END""",
        """CREATE TRIGGER asset_erased BEFORE DELETE ON asset BEGIN
            INSERT INTO change (asset_id, sha256) VALUES (OLD.id, OLD.sha256);
            INSERT INTO change (asset_id, collection, recipe)
            SELECT asset_id, OLD.collection, recipe
            FROM embedding WHERE asset_id = OLD.id;
        END""",
        """CREATE TRIGGER embedding_added AFTER INSERT ON embedding BEGIN
            INSERT INTO change (asset_id, collection, recipe)
            SELECT id, collection, NEW.recipe FROM asset WHERE id = NEW.asset_id;
        END""",
        """CREATE TRIGGER embedding_replaced AFTER UPDATE ON embedding BEGIN
            INSERT INTO change (asset_id, collection, recipe)
            SELECT id, collection, NEW.recipe FROM asset WHERE id = NEW.asset_id;
        END""",
        # The last one always stays, so no number comes twice.
        """CREATE TRIGGER change_trimmed AFTER INSERT ON change
        WHEN NEW.seq % 1000 = 0 BEGIN
            DELETE FROM change WHERE seq <= NEW.seq - 100000;
        END""",
        "PRAGMA user_version = 4",
    ),
    (
        # See ports/traits.py. contents: JSON.
        """CREATE TABLE trait (
            asset_id TEXT NOT NULL REFERENCES asset (id) ON DELETE CASCADE,
            method TEXT NOT NULL,
            contents TEXT NOT NULL,
            PRIMARY KEY (asset_id, method)
        ) STRICT""",
        "CREATE INDEX trait_by_method ON trait (method, asset_id)",
        "PRAGMA user_version = 5",
    ),
    (
        # See domain/characters.py. box, attributes, findings: JSON. mask: a PNG. Times:
        # microseconds since 1970 UTC.
        """CREATE TABLE character (
            id TEXT PRIMARY KEY,
            collection TEXT NOT NULL,
            name TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            attributes TEXT NOT NULL
        ) STRICT""",
        "CREATE INDEX character_by_time ON character (created_at, id)",
        """CREATE INDEX character_by_collection
            ON character (collection, created_at, id)""",
        """CREATE TABLE character_reference (
            character_id TEXT NOT NULL REFERENCES character (id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            asset_id TEXT NOT NULL REFERENCES asset (id) ON DELETE CASCADE,
            box TEXT,
            mask BLOB,
            PRIMARY KEY (character_id, asset_id)
        ) STRICT""",
        "CREATE INDEX character_reference_by_asset ON character_reference (asset_id)",
        """CREATE TABLE character_check (
            character_id TEXT NOT NULL REFERENCES character (id) ON DELETE CASCADE,
            asset_id TEXT NOT NULL REFERENCES asset (id) ON DELETE CASCADE,
            recipe TEXT NOT NULL,
            reference_id TEXT NOT NULL REFERENCES asset (id) ON DELETE CASCADE,
            checked_at INTEGER NOT NULL,
            findings TEXT NOT NULL,
            PRIMARY KEY (character_id, asset_id, recipe)
        ) STRICT""",
        """CREATE INDEX character_check_by_time
            ON character_check (character_id, recipe, checked_at, asset_id)""",
        "CREATE INDEX character_check_by_asset ON character_check (asset_id)",
        "CREATE INDEX character_check_by_reference ON character_check (reference_id)",
        "PRAGMA user_version = 6",
    ),
    (
        # See domain/kept_calibrations.py. contents: JSON. created_at: as above.
        """CREATE TABLE calibration (
            id TEXT PRIMARY KEY,
            collection TEXT NOT NULL,
            recipe TEXT NOT NULL,
            score TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            contents TEXT NOT NULL
        ) STRICT""",
        "CREATE INDEX calibration_by_time ON calibration (created_at, id)",
        "PRAGMA user_version = 7",
    ),
    (
        # See domain/job_erasure.py. A job that was there may cover everything.
        "ALTER TABLE job ADD COLUMN erased_at INTEGER",
        "ALTER TABLE job ADD COLUMN has_leftovers INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX job_with_leftovers ON job (id) WHERE has_leftovers",
        "CREATE INDEX job_by_turn ON job (collection, state, created_at, id)",
        """UPDATE job SET has_leftovers = has_finish
        WHERE state IN ('succeeded', 'failed', 'cancelled')""",
        """CREATE TABLE job_cover (
            name TEXT NOT NULL,
            job_id TEXT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
            PRIMARY KEY (name, job_id)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX job_cover_by_job ON job_cover (job_id)",
        """INSERT INTO job_cover (name, job_id) SELECT '', id FROM job
        WHERE has_finish AND state <> 'cancelled'
        AND kind NOT IN ('compact', 'reembed')""",
        # seq: as for change, but rows go once every result was looked through.
        """CREATE TABLE erasure (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            asset_id TEXT NOT NULL,
            collection TEXT NOT NULL
        ) STRICT""",
        """CREATE TRIGGER asset_erased_of_jobs BEFORE DELETE ON asset
        WHEN EXISTS (
            SELECT 1 FROM job_cover WHERE name IN (OLD.id, OLD.collection, '')
        ) BEGIN
            INSERT INTO erasure (asset_id, collection) VALUES (OLD.id, OLD.collection);
        END""",
        "PRAGMA user_version = 8",
    ),
    (
        # See domain/character_reviews.py. decided_at: as above.
        """CREATE TABLE reviewed_pair (
            left_id TEXT NOT NULL REFERENCES asset (id) ON DELETE CASCADE,
            right_id TEXT NOT NULL REFERENCES asset (id) ON DELETE CASCADE,
            collection TEXT NOT NULL,
            same INTEGER NOT NULL,
            decided_at INTEGER NOT NULL,
            PRIMARY KEY (left_id, right_id)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX reviewed_pair_by_right ON reviewed_pair (right_id)",
        """CREATE INDEX reviewed_pair_by_collection
            ON reviewed_pair (collection, left_id, right_id)""",
        "PRAGMA user_version = 9",
    ),
    RELATIONS,
)


def version(connection: sqlite3.Connection) -> int:
    """Return how many migrations the database has seen."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def pending(seen: int) -> list[str]:
    """Return the statements that a database of this schema still lacks, one a line."""
    return [
        f"migration {number}: {' '.join(statement.split())}"
        for number, statements in enumerate(MIGRATIONS[seen:], seen + 1)
        for statement in statements[:-1]
    ]


def migrate(connection: sqlite3.Connection) -> None:
    """Run the migrations that the database lacks, each in its own transaction."""
    seen = version(connection)
    for number, statements in enumerate(MIGRATIONS[seen:], seen + 1):
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            # Another process may have run it since.
            if version(connection) < number:
                for statement in statements:
                    connection.execute(statement)
