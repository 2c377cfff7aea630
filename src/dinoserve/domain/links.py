"""Links: URLs that let their holder do one thing for a while, without a key."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

from dinoserve.errors import LinkRefusedError

KEY_BYTES = 32
MAX_EXPIRES_S = 7 * 24 * 3600
_EXPIRES, _SIGNATURE = "expires", "signature"
_NUMBER = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Signer:
    """Makes links and knows its own again.

    A signature is HMAC-SHA256 (RFC 2104) of method, path and query, in base64url
    without padding. HEAD is what GET allows. That of a token has no path, which every
    link has.

    Attributes:
        key: at least `KEY_BYTES` random bytes that all servers of one address share.
    """

    key: bytes = field(repr=False)

    def link(
        self, method: str, path: str, query: Mapping[str, str], expires_at: int
    ) -> str:
        """Return path and query of a link.

        Args:
            method: what it allows, in upper case.
            path: begins with a slash; as it stands in the URL.
            query: parameters that the link fixes.
            expires_at: seconds since 1970 UTC from which on it is good for nothing.
        """
        pairs = [*sorted(query.items()), (_EXPIRES, str(expires_at))]
        text = urlencode(pairs)
        return f"{path}?{text}&{_SIGNATURE}={self._signature(method, path, text)}"

    def check(self, method: str, path: str, query: str, now_s: float) -> bool:
        """Tell whether the request is that of a link; False: it carries no signature.

        Raises:
            LinkRefusedError: it was not made by us so, or its time has passed.
        """
        text, separator, given = query.rpartition(f"&{_SIGNATURE}=")
        if not separator:
            return False
        own = self._signature("GET" if method == "HEAD" else method, path, text)
        expires = dict(parse_qsl(text)).get(_EXPIRES, "")
        if not hmac.compare_digest(own.encode(), given.encode()):
            raise LinkRefusedError("This link was not made by this server as it is.")
        if not _NUMBER.fullmatch(expires) or int(expires) <= now_s:
            raise LinkRefusedError("The time of this link has passed; ask for another.")
        return True

    def token(self, purpose: str, text: str) -> str:
        """Return the text as one part of a path, signed; whoever has it can read it.

        Args:
            purpose: what it is good for; only there it is known again.
            text: any.
        """
        body = _in_base64(text.encode())
        return f"{body}.{self._signature(purpose, '', body)}"

    def text_of(self, purpose: str, token: str) -> str:
        """Return the text of a token.

        Raises:
            LinkRefusedError: it was not made by us for this purpose.
        """
        body, _, given = token.rpartition(".")
        own = self._signature(purpose, "", body)
        if not hmac.compare_digest(own.encode(), given.encode()):
            raise LinkRefusedError("This id was not given by this server.")
        return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()

    def _signature(self, method: str, path: str, text: str) -> str:
        signed = f"{method}\n{path}\n{text}".encode()
        return _in_base64(hmac.new(self.key, signed, hashlib.sha256).digest())


def _in_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
