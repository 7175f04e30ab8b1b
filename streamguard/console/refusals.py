"""How errors become HTTP answers: all of them JSON, in our words, and none with anything of a request."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import Request, Response
from starlette.exceptions import HTTPException

from streamguard import logs
from streamguard.errors import KeysUnavailableError

_WORDS: Final = {
    400: "This is not an HTTP request that can be read.",
    404: "There is nothing here. See /v1/openapi.json.",
    405: "This address does not take that method.",
}

_log = logs.get(__name__)


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"error": {"code": code, "message": message}}
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> Response:
        """The answer."""
        return json_answer(self.status, self.body, self.headers)


async def answered(work: Awaitable[Response]) -> Response:
    """An answer, whatever happens while it is made: what is raised becomes one, too."""
    try:
        return await work
    except Refusal as refusal:
        return refusal.response()
    except KeysUnavailableError as error:
        _log.warning("api.unavailable", error=error)
        return Refusal(503, "unavailable", "Nothing can be revealed now.", Retry_After="5").response()
    except Exception as error:  # noqa: BLE001 - the last resort: its words may hold what was revealed
        _log.error("api.failed", error=error)
        return Refusal(500, "failed", "StreamGuard failed on this request.").response()


def refused(_: Request, error: HTTPException) -> Response:
    """What the framework refuses before it comes to us."""
    message = _WORDS.get(error.status_code, f"{HTTPStatus(error.status_code).phrase}.")
    code = HTTPStatus(error.status_code).name.lower()
    allow = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    return json_answer(error.status_code, {"error": {"code": code, "message": message}}, allow)


def json_answer(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A body as JSON, which nothing on the way may keep."""
    every = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(
        orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE),
        status,
        {**every, **(headers or {})},
        media_type="application/json",
    )
