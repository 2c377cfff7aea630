"""The document store in MongoDB."""

from dinoserve.adapters.mongo.documents import MongoDocuments

__all__ = ["MongoDocuments"]
