"""What a server says when it refuses a request."""

import httpx2


class ApiError(Exception):
    """The server refused a request.

    Args:
        code: as in `docs/problems.md`, or `http-<status>` from what is no dinoserve.
        detail: what happened and what to do next.
        field: where the request is wrong, if the server told.
    """

    def __init__(self, code: str, detail: str, field: str | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.field = field


def refusal(answer: httpx2.Response) -> ApiError:
    """Return what a problem document, or an error in OpenAI's shape, says."""
    try:
        body = answer.json()
        if "error" in body:
            error = body["error"]
            return ApiError(error["code"], error["message"], error["param"])
        code = body["type"].removeprefix("/problems/")
        return ApiError(code, body["detail"], body.get("field"))
    except (ValueError, KeyError, TypeError, AttributeError):
        status = answer.status_code
        return ApiError(
            f"http-{status}",
            f"{answer.request.url} answered {status}, not as dinoserve.",
        )
