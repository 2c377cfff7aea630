"""Who asks may not."""

from dinoserve.errors.base import DinoserveError


class UnauthorizedError(DinoserveError):
    """The API key is missing or wrong."""

    code = "unauthorized"


class ForeignCallerError(DinoserveError):
    """The caller is not of this machine, and no key protects the server."""

    code = "foreign-caller"


class LinkRefusedError(DinoserveError):
    """A signed link was changed, or its time has passed."""

    code = "link-refused"
