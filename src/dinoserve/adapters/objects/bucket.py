"""Which bucket, who we are there, and how patient we are."""

import atexit
import base64
import time
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from obstore.store import S3Store

if TYPE_CHECKING:  # its types exist for the checker only
    from obstore.store import ClientConfig, S3Config


@dataclass(frozen=True, slots=True)
class Bucket:
    """Which bucket, and who we are there.

    Attributes:
        prefix: what every key begins with, without a slash at its ends; may be empty.
        endpoint: URL of the server; the bucket's name becomes the path's first part.
        region: R2 calls its only one `auto`.
        customer_key: 32 bytes that the server seals every object with and does not
            keep (SSE-C); None: it seals as it likes.
    """

    name: str
    prefix: str
    endpoint: str
    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    customer_key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class S3Limits:
    """How long and how much at once.

    Attributes:
        answer_s: seconds until a short question is answered, retries included.
        request_s: seconds one request with a body may take, the body included.
        put_s: seconds one `put` may take, waiting for its turn included.
        uploads: streams stored at the same time; each holds at most 4 parts of 5 MiB.
    """

    answer_s: float = 10.0
    request_s: float = 60.0
    put_s: float = 300.0
    uploads: int = 8


def connect(bucket: Bucket, limits: S3Limits) -> S3Store:
    """Return the client of the bucket; nothing is asked yet."""
    _pause_at_exit()
    # All that AWS_* variables of the environment could change is said here.
    config: S3Config = {
        "endpoint": bucket.endpoint,
        "region": bucket.region,
        "virtual_hosted_style_request": False,
        "skip_signature": False,
        "unsigned_payload": False,
        "disable_bulk_delete": True,
    }
    if bucket.customer_key:
        config["server_side_encryption"] = "sse-c"
        config["sse_customer_key_base64"] = base64.b64encode(
            bucket.customer_key
        ).decode()
    client: ClientConfig = {
        "allow_http": bucket.endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=3),
        "timeout": timedelta(seconds=limits.request_s),
    }
    return S3Store(
        bucket.name,
        config=config,
        client_options=client,
        retry_config={
            "max_retries": 3,
            "retry_timeout": timedelta(seconds=limits.answer_s),
        },
        credential_provider=lambda: {
            "access_key_id": bucket.access_key,
            "secret_access_key": bucket.secret_key,
            "token": None,
            "expires_at": None,
        },
    )


@cache
def _pause_at_exit() -> None:
    """Let obstore's threads put down what they hold before the interpreter ends.

    One that still holds an answer aborts the process, one time in three if it ends
    right after its last answer (github.com/PyO3/pyo3-async-runtimes, issue 40).
    """
    atexit.register(time.sleep, 0.2)
