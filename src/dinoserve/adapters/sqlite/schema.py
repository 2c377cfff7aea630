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
    for statements in MIGRATIONS[version(connection) :]:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in statements:
                connection.execute(statement)
