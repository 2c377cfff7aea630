"""What each kind of job takes, and what it does not."""

from collections.abc import Mapping
from typing import Final

from dinoserve.web.comparing_parameters import (
    DuplicatesParameters,
    GroupsParameters,
    NetworkParameters,
    QualityParameters,
    SequenceParameters,
    SimilarityParameters,
)
from dinoserve.web.keeping_parameters import (
    CompactParameters,
    EmbedParameters,
    EraseParameters,
    ExportParameters,
    IngestParameters,
    ReembedParameters,
    RegionsParameters,
)
from dinoserve.web.parameter_fields import Parameters

PARAMETERS: Final[Mapping[str, type[Parameters]]] = {
    "embed": EmbedParameters,
    "erase": EraseParameters,
    "reembed": ReembedParameters,
    "ingest": IngestParameters,
    "similarity": SimilarityParameters,
    "network": NetworkParameters,
    "duplicates": DuplicatesParameters,
    "groups": GroupsParameters,
    "regions": RegionsParameters,
    "export": ExportParameters,
    "quality": QualityParameters,
    "sequence": SequenceParameters,
    "compact": CompactParameters,
}
"""What each kind takes."""
