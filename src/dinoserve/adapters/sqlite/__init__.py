"""The document store in one SQLite file."""

from dinoserve.adapters.sqlite.documents import SqliteDocuments

__all__ = ["SqliteDocuments"]
