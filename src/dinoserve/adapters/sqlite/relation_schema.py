"""The tables of relations: a migration of schema.py, with its triggers."""

from typing import Final

# Never edit it once it was released: append another migration.
RELATIONS: Final[tuple[str, ...]] = (
    # See domain/relations.py, relation_writes.py. name: id of a node. Numbers of nodes
    # and labels never come twice, so that a scan may keep them.
    """CREATE TABLE relation_node (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE
    ) STRICT""",
    # A kind, origin, recipe or collection.
    """CREATE TABLE relation_label (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE
    ) STRICT""",
    # created_at: microseconds since 1970 UTC. attributes: JSON; null: none.
    """CREATE TABLE relation (
        source INTEGER NOT NULL,
        target INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        weight REAL NOT NULL,
        created_at INTEGER NOT NULL,
        origin INTEGER NOT NULL,
        recipe INTEGER,
        collection INTEGER,
        attributes TEXT,
        PRIMARY KEY (source, target, kind)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX relation_by_target ON relation (target, source, kind, weight)",
    "CREATE TABLE relation_follower (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
    # version: rises whenever it is marked. Of a node: target and kind are empty.
    """CREATE TABLE relation_mark (
        version INTEGER PRIMARY KEY AUTOINCREMENT,
        follower TEXT NOT NULL,
        source TEXT NOT NULL,
        target TEXT NOT NULL,
        kind TEXT NOT NULL,
        UNIQUE (follower, source, target, kind)
    ) STRICT""",
    "CREATE INDEX relation_mark_by_follower ON relation_mark (follower, version)",
    """CREATE TRIGGER relation_erased AFTER DELETE ON relation BEGIN
        DELETE FROM relation_node WHERE id IN (OLD.source, OLD.target)
        AND NOT EXISTS (
            SELECT 1 FROM relation WHERE source = relation_node.id)
        AND NOT EXISTS (
            SELECT 1 FROM relation WHERE target = relation_node.id);
    END""",
    # Erasing a node here erases its relations, and marks it with every node that has
    # no other relation.
    "CREATE VIEW relation_end AS SELECT id, name FROM relation_node",
    """CREATE TRIGGER relation_end_erased INSTEAD OF DELETE ON relation_end BEGIN
        INSERT OR REPLACE INTO relation_mark (follower, source, target, kind)
        SELECT relation_follower.name, node.name, '', ''
        FROM relation_follower JOIN relation_node AS node
        WHERE node.id = OLD.id OR node.id IN (
            SELECT target FROM relation WHERE source = OLD.id
            UNION SELECT source FROM relation WHERE target = OLD.id
        )
        AND NOT EXISTS (SELECT 1 FROM relation
            WHERE source = node.id AND target <> OLD.id)
        AND NOT EXISTS (SELECT 1 FROM relation
            WHERE target = node.id AND source <> OLD.id);
        DELETE FROM relation WHERE source = OLD.id;
        DELETE FROM relation WHERE target = OLD.id;
    END""",
    """CREATE TRIGGER asset_erased_of_relations BEFORE DELETE ON asset BEGIN
        DELETE FROM relation_end WHERE name = 'asset:' || OLD.id;
    END""",
    """CREATE TRIGGER character_erased_of_relations BEFORE DELETE ON character BEGIN
        DELETE FROM relation_end WHERE name = 'character:' || OLD.id;
    END""",
    "PRAGMA user_version = 10",
)
