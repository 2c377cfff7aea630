"""The tables, as numbered forward migrations; SQL of SQLite 3.40."""

import sqlite3

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
