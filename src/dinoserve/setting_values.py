"""Settings' values: where stores are, and keys that callers have."""

import hashlib
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Secret, SecretStr, StringConstraints

from dinoserve.domain.quality_issues import read_thresholds
from dinoserve.domain.renditions import MAX_QUALITY, MAX_SIDE_PX
from dinoserve.errors import InvalidInputError, StartUpError

_OWN_HTTP = {("http", host) for host in ("127.0.0.1", "::1", "localhost")}
_QDRANT = {"qdrant+http", "qdrant+https"}
_HASHED_KEY = "sha256:"
# Hosts are names, addresses or percent-encoded sockets. A user or password with an
# unescaped @, / or ? does not match.
_MONGODB_URL = re.compile(
    r"(?P<scheme>mongodb(?:\+srv)?://)(?:[^@/?#]+@)?"
    r"(?P<place>[\w.,:%\[\]-]+(?:/[\w-]*)?)(?:\?[^@]*)?",
    re.ASCII,
)
_REDIS_URL = re.compile(
    r"(?P<scheme>rediss?://|unix://)(?:[^@/?#]*@)?"
    r"(?P<place>[\w./:%\[\]-]+)(?:\?[^@]*)?",
    re.ASCII,
)
_ARANGO_URL = re.compile(
    r"(?P<scheme>arangodbs?://)(?:[^@/?#]*@)?(?P<place>[\w.:%\[\]-]+/[\w%.-]+)/?",
    re.ASCII,
)
# Names of buckets as S3 allows them; of prefixes, what needs no escape anywhere.
_OBJECTS_PATTERN = (
    r"^(file:|memory:|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_./-]{1,200})?)$"
)


class StoreUrl(Secret[str]):
    """Where a store is; shown without user, password and options."""

    def _display(self) -> str:
        url = self.get_secret_value()
        if url.startswith("mongodb"):
            found = _MONGODB_URL.fullmatch(url)
            return found["scheme"] + found["place"] if found else "mongodb://…"
        found = _REDIS_URL.fullmatch(url) or _ARANGO_URL.fullmatch(url)
        return found["scheme"] + found["place"] if found else url


def _check_redis(value: StoreUrl) -> StoreUrl:
    if _REDIS_URL.fullmatch(value.get_secret_value()):
        return value
    raise ValueError(
        "a Redis URL is redis://USER:PASSWORD@HOST:PORT/DATABASE, rediss:// for TLS"
        " or unix:///PATH; write @ : / ? # % in them as %40 %3A %2F %3F %23 %25"
    )


def _check_queue(value: StoreUrl) -> StoreUrl:
    if value.get_secret_value() in {"embedded", "memory:"}:
        return value
    try:
        return _check_redis(value)
    except ValueError as error:
        raise ValueError(f"`embedded`, `memory:` or a Redis URL; {error}") from error


def _check_documents(value: StoreUrl) -> StoreUrl:
    url = value.get_secret_value()
    if url in {"sqlite:", "memory:"} or _MONGODB_URL.fullmatch(url):
        return value
    if url.startswith("mongodb"):
        raise ValueError(
            "a MongoDB URL is mongodb://USER:PASSWORD@HOST:PORT/DATABASE?OPTIONS;"
            " write @ : / ? # % in user and password as %40 %3A %2F %3F %23 %25"
        )
    raise ValueError("one of sqlite:, memory:, mongodb://…, mongodb+srv://…")


def _check_graph(value: StoreUrl) -> StoreUrl:
    url = value.get_secret_value()
    if url == "documents" or _ARANGO_URL.fullmatch(url):
        return value
    raise ValueError(
        "`documents`, or an ArangoDB as arangodb://USER:PASSWORD@HOST:PORT/DATABASE,"
        " arangodbs:// for TLS; write @ : / ? # % in user and password as %40 %3A %2F"
        " %3F %23 %25"
    )


def _up_to(limit: int) -> AfterValidator:
    """Return what refuses a list with a number above the limit."""

    def check(value: str) -> str:
        if max(map(int, value.split(","))) > limit:
            raise ValueError(f"numbers from 1 to {limit}, separated by commas")
        return value

    return AfterValidator(check)


def _check_thresholds(value: str) -> str:
    """Return the setting as it is, if thresholds can be read of it."""
    try:
        read_thresholds(value)
    except InvalidInputError as error:
        raise ValueError(f"{error.detail} Such as dark=0.4,greyscale=off") from error
    return value


def _address(of_what: str) -> AfterValidator:
    """Return what takes the slash off an address's end, and refuses all else."""

    def check(value: str) -> str:
        url = urlsplit(value)
        has_more = "@" in url.netloc or url.query or url.fragment
        has_place = url.hostname and url.port != 0  # a port beyond 65535 raises
        if url.scheme not in {"http", "https"} or not has_place or has_more:
            raise ValueError(f"the address of {of_what}")
        return value.rstrip("/")

    return AfterValidator(check)


def _check_index(value: str) -> str:
    """Return the setting without the slash at its end."""
    if value in {"auto", "memory", "mongodb"}:
        return value
    url = urlsplit(value)
    has_more = "@" in url.netloc or url.path.strip("/") or url.query or url.fragment
    if url.scheme not in _QDRANT or not url.hostname or has_more:
        raise ValueError(
            "`auto`, `memory`, `mongodb`, or a Qdrant server such as"
            " qdrant+http://qdrant:6333; its key goes into DINOSERVE_INDEX_KEY"
        )
    return value.rstrip("/")


def qdrant_url(index: str) -> str | None:
    """Return where Qdrant is, if that is what the setting names."""
    scheme, _, url = index.partition("+")
    return url if scheme == "qdrant" else None


def _check_content(value: str) -> str:
    """Return the setting; a URL gets the slash that keys follow."""
    if value in {"proxy", "redirect"}:
        return value
    url = urlsplit(value)
    is_safe = url.scheme == "https" or (url.scheme, url.hostname) in _OWN_HTTP
    if not (is_safe and url.hostname) or "@" in url.netloc or url.query or url.fragment:
        raise ValueError(
            "`proxy`, `redirect`, or the https URL that the originals' keys are below,"
            " such as https://cdn.example.org/"
        )
    return value.rstrip("/") + "/"


RedisUrl = Annotated[StoreUrl, AfterValidator(_check_redis)]
QueueUrl = Annotated[StoreUrl, AfterValidator(_check_queue)]
GraphUrl = Annotated[StoreUrl, AfterValidator(_check_graph)]
DocumentsUrl = Annotated[StoreUrl, AfterValidator(_check_documents)]
_NumberList = Annotated[
    str, StringConstraints(pattern=r"^[1-9][0-9]{0,4}(, ?[1-9][0-9]{0,4})*$")
]
SideList = Annotated[_NumberList, _up_to(MAX_SIDE_PX)]
QualityList = Annotated[_NumberList, _up_to(MAX_QUALITY)]
ThresholdList = Annotated[str, AfterValidator(_check_thresholds)]
IndexText = Annotated[str, AfterValidator(_check_index)]
EngineUrl = Annotated[
    str,
    _address(
        "another dinoserve, such as https://gpu-box:8000; its key goes into"
        " DINOSERVE_ENGINE_KEY"
    ),
]
PathragUrl = Annotated[str, _address("a PathRAG server, such as http://pathrag:5000")]
ContentText = Annotated[str, AfterValidator(_check_content)]
ObjectsUrl = Annotated[str, StringConstraints(pattern=_OBJECTS_PATTERN)]


def key_digest(key: SecretStr) -> bytes:
    """Return the SHA-256 of an API key given in clear or as `sha256:<hex>`.

    Keys are long and random, so a plain digest is enough to keep them.

    Raises:
        StartUpError: a digest that is not 64 hex digits or is that of nothing, or a
            key that no header can carry.
    """
    text = key.get_secret_value()
    if not text.startswith(_HASHED_KEY):
        if not (text.isascii() and text.isprintable()):
            raise StartUpError("DINOSERVE_API_KEYS: a key has printable ASCII only.")
        return hashlib.sha256(text.encode()).digest()
    try:
        digest = bytes.fromhex(text.removeprefix(_HASHED_KEY))
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise StartUpError("DINOSERVE_API_KEYS: `sha256:` needs 64 hex digits.")
    if digest == hashlib.sha256(b"").digest():
        raise StartUpError("DINOSERVE_API_KEYS: this is the digest of an empty key.")
    return digest
