"""Tables as Parquet files, by pyarrow, which is an extra of ours."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from dinoserve.domain.assets import Metadata
from dinoserve.domain.outflow import Outflow
from dinoserve.domain.tables import Table

_COMPRESSION = "zstd"
# Of these many rows have the same; others are not smaller so.
_REPEATED = ["collection", "media_type", "recipe"]


class ParquetTables:
    """`ports.TableWriter` by pyarrow: one row group for each part."""

    @staticmethod
    def is_installed() -> bool:
        """Tell whether pyarrow is there; it is not loaded."""
        return find_spec("pyarrow") is not None

    async def write(
        self, parts: AsyncIterable[Table], dimension: int
    ) -> AsyncGenerator[bytes]:
        """Yield the file; one part at a time is in memory."""
        file = await asyncio.to_thread(_begun, dimension)
        yield file.flow.take()
        async for part in parts:
            if part.records:
                yield await asyncio.to_thread(file.add, part)
        yield await asyncio.to_thread(file.end)


@dataclass(frozen=True, slots=True)
class _File:
    """A Parquet file as it grows; methods return the bytes that come next."""

    arrow: Any
    schema: Any
    writer: Any
    flow: Outflow

    def add(self, part: Table) -> bytes:
        columns = [self._column(field, part) for field in self.schema]
        rows = self.arrow.Table.from_arrays(columns, schema=self.schema)
        self.writer.write_table(rows, row_group_size=len(part.records))
        return self.flow.take()

    def end(self) -> bytes:
        self.writer.close()
        return self.flow.take()

    def _column(self, field: Any, part: Table) -> Any:
        if field.name == "vector":
            numbers = self.arrow.array(np.ascontiguousarray(part.vectors).reshape(-1))
            return self.arrow.FixedSizeListArray.from_arrays(numbers, type=field.type)
        values = _values(field.name, part.records)
        return self.arrow.array(values, type=field.type)


def _values(name: str, records: Sequence[Metadata]) -> list[object]:
    values = [each[name] for each in records]
    if name == "metadata":
        return [json.dumps(value, ensure_ascii=False) for value in values]
    if name == "created_at":
        return [datetime.fromisoformat(str(value)) for value in values]
    return values


def _begun(dimension: int) -> _File:
    arrow = import_module("pyarrow")
    parquet = import_module("pyarrow.parquet")
    schema = _schema(arrow, dimension)
    flow = Outflow()
    writer = parquet.ParquetWriter(
        flow, schema, compression=_COMPRESSION, use_dictionary=_REPEATED
    )
    return _File(arrow, schema, writer, flow)


def _schema(arrow: Any, dimension: int) -> Any:
    text = arrow.string()
    embedding = arrow.struct([("recipe", text), ("dimension", arrow.int32())])
    fields = [
        *((name, text) for name in ("id", "collection", "sha256", "filename")),
        ("media_type", text),
        ("bytes", arrow.int64()),
        ("width", arrow.int32()),
        ("height", arrow.int32()),
        ("tags", arrow.list_(text)),
        ("metadata", text),
        ("subject", text),
        ("created_at", arrow.timestamp("us", tz="UTC")),
        ("embeddings", arrow.list_(embedding)),
    ]
    if dimension:
        vector = arrow.list_(arrow.field("element", arrow.float32()), dimension)
        fields += [("recipe", text), ("vector", vector)]
    return arrow.schema(fields)
