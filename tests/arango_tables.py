"""What the double of ArangoDB holds: documents, transactions, and a journal of them."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Document = dict[str, Any]
Write = tuple[str, str, Document | None]
"""Collection, key, and what it becomes; None: it goes."""

_KEY = re.compile(r"[A-Za-z0-9_\-:.@()+,=;$!*'%]{1,254}")


class RefusedError(Exception):
    """The server answers with an error.

    Args:
        status: of HTTP.
        number: of ArangoDB's errors.dat.
        told: why.
    """

    def __init__(self, status: int, number: int, told: str) -> None:
        super().__init__(told)
        self.status = status
        self.number = number


@dataclass
class Database:
    """Collections with their documents by key, and graphs."""

    types: dict[str, int] = field(default_factory=dict[str, int])
    documents: dict[str, dict[str, Document]] = field(
        default_factory=dict[str, dict[str, Document]]
    )
    graphs: dict[str, Document] = field(default_factory=dict[str, Document])

    def collection(self, name: str) -> dict[str, Document]:
        if name not in self.documents:
            raise RefusedError(404, 1203, "collection or view not found")
        return self.documents[name]


@dataclass
class Transaction:
    """Writes that nobody else sees before they are committed."""

    database: str
    collections: frozenset[str]
    last_used: float = field(default_factory=time.monotonic)
    staged: dict[tuple[str, str], Document | None] = field(
        default_factory=dict[tuple[str, str], Document | None]
    )


class Tables:
    """All databases; a journal in a file brings them back after a kill.

    Attributes:
        transactions: that are open, by id.
        transaction_s: after which one that is not used is forgotten.
    """

    def __init__(self, journal: Path) -> None:
        self.databases: dict[str, Database] = {"_system": Database()}
        self.transactions: dict[str, Transaction] = {}
        self.transaction_s = 60.0
        if journal.exists():
            for line in journal.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):  # else nobody was told of it
                    self._do(*json.loads(line))
        self._journal = journal.open("ab", buffering=0)

    def do(self, what: str, database: str, *rest: Any) -> None:
        """Change something for good."""
        self._journal.write(json.dumps([what, database, *rest]).encode() + b"\n")
        self._do(what, database, *rest)

    def _do(self, what: str, name: str, *rest: Any) -> None:
        if what == "database":
            self.databases[name] = Database()
        elif what == "drop":
            del self.databases[name]
        elif what == "collection":
            self.databases[name].types[rest[0]] = rest[1]
            self.databases[name].documents[rest[0]] = {}
        elif what == "graph":
            self.databases[name].graphs[rest[0]["name"]] = rest[0]
        else:
            for collection, key, document in rest[0]:
                place = self.databases[name].documents[collection]
                place.pop(key, None)
                if document is not None:
                    place[key] = document

    def transaction(self, number: str) -> Transaction:
        now = time.monotonic()
        for each, held in list(self.transactions.items()):
            if now - held.last_used > self.transaction_s:
                del self.transactions[each]
        if number not in self.transactions:
            raise RefusedError(404, 1655, "transaction not found")
        found = self.transactions[number]
        found.last_used = now
        return found

    def check_free(self, database: str, collection: str, key: str, mine: str) -> None:
        """Pass if no other transaction has written it; as RocksDB's locks do."""
        now = time.monotonic()
        for number, other in self.transactions.items():
            is_old = now - other.last_used > self.transaction_s
            if number == mine or is_old or other.database != database:
                continue
            if (collection, key) in other.staged:
                raise RefusedError(409, 1200, "write-write conflict")


class View:
    """One database as a request sees and changes it.

    Args:
        tables: all.
        name: of the database.
        transaction: id of the one that the request belongs to; empty: none.
    """

    def __init__(self, tables: Tables, name: str, transaction: str) -> None:
        self._tables = tables
        self._name = name
        self._number = transaction
        self._held = tables.transaction(transaction) if transaction else None

    def all(self, collection: str) -> Iterator[Document]:
        """Yield every document of a collection."""
        there = self._tables.databases[self._name].collection(collection)
        staged = self._staged(collection)
        yield from [each for key, each in there.items() if key not in staged]
        yield from [each for each in staged.values() if each is not None]

    def get(self, collection: str, key: str) -> Document | None:
        staged = self._staged(collection)
        there = self._tables.databases[self._name].collection(collection)
        return staged[key] if key in staged else there.get(key)

    def put(self, collection: str, document: Document) -> Document:
        """Insert or replace; return what the server tells of it."""
        key = document.get("_key")
        if not (isinstance(key, str) and _KEY.fullmatch(key)):
            raise RefusedError(400, 1221, "illegal document key")
        database = self._tables.databases[self._name]
        ends = [str(document.get(name, "")) for name in ("_from", "_to")]
        if database.types.get(collection) == 3 and not all("/" in end for end in ends):
            raise RefusedError(400, 1233, "edge attribute missing or invalid")
        self._write(collection, key, document | {"_id": f"{collection}/{key}"})
        return {"_id": f"{collection}/{key}", "_key": key, "_rev": "r"}

    def remove(self, collection: str, key: str) -> None:
        self._write(collection, key, None)

    def _staged(self, collection: str) -> dict[str, Document | None]:
        staged = self._held.staged if self._held else {}
        return {key: doc for (place, key), doc in staged.items() if place == collection}

    def _write(self, collection: str, key: str, document: Document | None) -> None:
        self._tables.databases[self._name].collection(collection)
        self._tables.check_free(self._name, collection, key, self._number)
        if self._held is None:
            self._tables.do("write", self._name, [(collection, key, document)])
            return
        if collection not in self._held.collections:
            raise RefusedError(400, 1652, "unregistered collection")
        self._held.staged[collection, key] = document
