"""The Redis or Valkey that carries the queue: connections, and what it must be."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from dinoserve.errors import StartUpError

FAILURES: Final = (RedisError, OSError, TimeoutError)
"""What the driver raises when the server cannot be asked."""

_TIMEOUT_S = 5.0
_CONNECT_TIMEOUT_S = 2.0
_MIN_VERSION = 7
_REFUSALS = (AuthenticationError, NoPermissionError)
_log = logging.getLogger(__name__)


def connections(url: str, count: int) -> BlockingConnectionPool:
    """Return so many connections, made when they are needed.

    Raises:
        StartUpError: the URL is none.
    """
    try:
        return BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] - untyped kwargs
            url,
            max_connections=count,
            timeout=_TIMEOUT_S,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            client_name="dinoserve-queue",
        )
    except ValueError as error:
        raise StartUpError(f"DINOSERVE_QUEUE: {error}") from error


def check(server: Mapping[str, Any]) -> None:
    """Pass if this server can carry the queue.

    Args:
        server: what it says of itself (INFO).

    Raises:
        StartUpError: it is too old, or may evict what it keeps.
    """
    version = str(server.get("valkey_version") or server.get("redis_version", "0"))
    if int(version.partition(".")[0]) < _MIN_VERSION:
        raise StartUpError(
            f"DINOSERVE_QUEUE: {name(server)} is too old; Redis 7, Valkey or newer is"
            " needed."
        )
    policy = str(server.get("maxmemory_policy", ""))
    if policy.startswith("allkeys-"):
        raise StartUpError(
            f"DINOSERVE_QUEUE: this Redis may evict the queue (maxmemory-policy"
            f" {policy}). Give the cache and the queue a Redis each, by"
            " DINOSERVE_REDIS and DINOSERVE_QUEUE, and set the queue's to noeviction."
        )
    if not server.get("aof_enabled"):
        _log.warning(
            "the queue's Redis keeps no log of writes (appendonly no): what it carries"
            " is sent again from the store of jobs after it was restarted, but later"
        )


def name(server: Mapping[str, Any]) -> str:
    """Return what it is, and its version."""
    if version := server.get("valkey_version"):
        return f"Valkey {version}"
    return f"Redis {server.get('redis_version', '?')}"


def is_refused(error: BaseException | None) -> bool:
    """Tell whether user or password are wrong; the pool wraps what tells so."""
    while error and not isinstance(error, _REFUSALS):
        error = error.__cause__ or error.__context__
    return error is not None
