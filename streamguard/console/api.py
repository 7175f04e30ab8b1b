"""The HTTP API: ``POST /v1/reveal`` and ``GET /v1/health``.

Who asks is looked at before what is asked. Every answer is JSON, and every error is in our words: nothing of a request
comes back, and nothing of a library's text. What is revealed must not be kept by anything on the way (``no-store``).
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from importlib.metadata import version
from ipaddress import ip_address
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from streamguard.access.errors import AuthenticationError, LimitExceeded
from streamguard.access.opening import Ask
from streamguard.access.principal import Credential, Principal, is_name
from streamguard.access.reveal import Answer, Desk
from streamguard.access.reveal import Request as Asked
from streamguard.access.shown import shown
from streamguard.console.failures import Failures, source_of
from streamguard.console.models import (
    FieldValue,
    Health,
    Problem,
    RevealAnswer,
    RevealRequest,
    TokenValue,
)
from streamguard.console.refusals import Refusal, answered, json_answer, refused
from streamguard.errors import KeysUnavailableError
from streamguard.policy.service import Certificates
from streamguard.transforms.base import Origin, Transform

LARGEST: Final = 4 << 20
"""Bytes of a request."""

CERTIFICATE: Final = "streamguard.certificate"
"""Where the server puts the subject of a client's certificate, among the extensions of an ASGI scope."""

Fields = Mapping[tuple[str, str], Transform[Any]]
"""The reversible fields of the service's policies, by policy and path."""

_HEALTH_SECONDS: Final = 5.0
_BEARER: Final = re.compile(r"[Bb]earer +(\S{1,16384})")
_STATUSES: Final = (400, 401, 403, 404, 405, 413, 415, 422, 429, 503)
_INVALID: Final = "The request is not as /v1/openapi.json describes it"
_NAMES: Final = frozenset({*RevealRequest.model_fields, *TokenValue.model_fields, *FieldValue.model_fields})


class Api:
    """The API at one desk. `certificates` tells from which proxies a certificate's subject is believed."""

    def __init__(self, desk: Desk, fields: Fields, certificates: Certificates | None = None) -> None:
        self._desk = desk
        self._fields = fields
        self._certificates = certificates
        self._failures = Failures()
        self._health = _Remembered(desk.keyring.health)

    async def reveal(self, request: Request) -> Response:
        """``POST /v1/reveal``."""
        return await answered(self._reveal(request))

    async def health(self) -> Response:
        """``GET /v1/health``."""
        return await answered(run_in_threadpool(self._healthy))

    async def _reveal(self, request: Request) -> Response:
        peer = request.client.host if request.client else ""
        principal = await run_in_threadpool(self._enter, self._credential(request, peer), source_of(peer))
        asked = self._asked(await _body(request))
        try:
            answers = await run_in_threadpool(self._desk.reveal, principal, asked)
        except LimitExceeded as error:
            raise Refusal(429, "limit", str(error), Retry_After=str(error.retry_after)) from None
        if any(answer.error == "keys_unavailable" for answer in answers):
            raise KeysUnavailableError("A key cannot be had now.")
        if all(answer.error == "denied" for answer in answers):
            raise Refusal(403, "denied", answers[0].message)
        return json_answer(200, {"values": [_as_document(answer) for answer in answers]})

    def _enter(self, credential: Credential, source: str) -> Principal:
        """Who shows this credential. In a thread: what it costs to refuse many at once is bounded by the threads."""
        if wait := self._failures.wait(source):
            self._turn_away(source)
            raise Refusal(
                429, "failures", "Too many credentials from your address failed.", Retry_After=str(wait)
            )
        try:
            return self._desk.enter(credential)
        except AuthenticationError as error:
            self._failures.add(source)
            raise Refusal(401, "credentials", error.message, WWW_Authenticate="Bearer") from None
        except KeysUnavailableError:  # such an attempt, too, writes to the trail before anybody is known
            self._failures.add(source)
            raise

    def _turn_away(self, source: str) -> None:
        """Put on the trail that attempts were not looked at: an entry a window, for however many."""
        if attempts := self._failures.turned_away(source):
            try:
                self._desk.turn_away(attempts)
            except KeysUnavailableError:
                self._failures.untold(source, attempts)
                raise

    def _credential(self, request: Request, peer: str) -> Credential:
        written = request.headers.get("authorization")
        if written is not None:
            found = _BEARER.fullmatch(written)
            return Credential(bearer=found[1] if found else "")
        subject = request.scope.get("extensions", {}).get(CERTIFICATE)
        if subject is None and self._from_proxy(peer):
            assert self._certificates is not None  # noqa: S101 - for the type checker
            # Of two, one may be the client's own: a proxy that adds instead of overwriting is not believed.
            written_by = request.headers.getlist(self._certificates.header or "")
            subject = written_by[0] if len(written_by) == 1 else None
        return Credential(certificate=subject if is_name(subject) else None)

    def _from_proxy(self, peer: str) -> bool:
        if self._certificates is None or self._certificates.header is None:
            return False
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._certificates.proxies)

    def _asked(self, body: bytes) -> Asked:
        try:
            found = RevealRequest.model_validate_json(body)
        except ValidationError as error:
            raise Refusal(422, "invalid", f"{_INVALID}{_where(error)}.") from None
        asks = [self._ask(place, value) for place, value in enumerate(found.values)]
        return Asked(asks, found.purpose, masked=found.masked)

    def _ask(self, place: int, value: TokenValue | FieldValue) -> Ask:
        if isinstance(value, TokenValue):
            return Ask(value.token)
        transform = self._fields.get((value.policy, value.field))
        if transform is None:
            raise Refusal(
                422, "invalid", f"No policy here has the field that values[{place}] names, reversibly."
            )
        return Ask(value.value, transform, Origin(value.key_id, value.subject))

    def _healthy(self) -> Response:
        self._health()
        return json_answer(200, {"status": "ok"})


def create_app(desk: Desk, fields: Fields, certificates: Certificates | None = None) -> FastAPI:
    """The ASGI application."""
    api = Api(desk, fields, certificates)
    app = FastAPI(
        title="StreamGuard",
        description="Protected values revealed, for those who may, and on the record.",
        version=version("streamguard"),
        openapi_url="/v1/openapi.json",
        docs_url=None,  # they would load code from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    described: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "description": HTTPStatus(status).phrase} for status in _STATUSES
    }
    app.add_api_route(
        "/v1/reveal",
        api.reveal,
        methods=["POST"],
        summary="Reveal a batch of values",
        response_model=RevealAnswer,
        responses=described,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/RevealRequest"}}},
            },
            "security": [{"bearer": []}, {"certificate": []}],
        },
    )
    app.add_api_route(
        "/v1/health",
        api.health,
        methods=["GET"],
        summary="Do keys and store answer?",
        response_model=Health,
        responses={status: described[status] for status in (400, 405, 503)},
    )
    app.exception_handler(HTTPException)(refused)
    generated = app.openapi
    app.openapi = lambda: _described(generated())  # type: ignore[method-assign]  # the way FastAPI documents
    return app


def _described(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's description, with the request, which is read here and not there."""
    model = RevealRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    document["components"]["schemas"] |= {**model.pop("$defs"), "RevealRequest": model}
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "certificate": {"type": "mutualTLS"},
    }
    return document


# -- Health ------------------------------------------------------------------------------------------------------------


class _Remembered:
    """A health check whose outcome counts for a few seconds: asking often costs the KMS nothing."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._lock = threading.Lock()
        self._until = 0.0
        self._well = False

    def __call__(self) -> None:
        with self._lock:
            if time.monotonic() >= self._until:
                try:
                    self._check()
                    self._well = True
                except KeysUnavailableError:
                    self._well = False
                self._until = time.monotonic() + _HEALTH_SECONDS
            if not self._well:
                raise KeysUnavailableError("Keys or store do not answer.")


# -- In and out --------------------------------------------------------------------------------------------------------


async def _body(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "content_type", "Requests are JSON: write 'Content-Type: application/json'.")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST:
            raise Refusal(413, "too_large", f"A request has at most {LARGEST:,} bytes.", Connection="close")
    return bytes(body)


def _where(error: ValidationError) -> str:
    """The place of the first thing that is wrong, in names of ours only."""
    place = error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"]
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part in _NAMES:
            text += f".{part}" if text else part
    return f", at {text}" if text else ""


def _as_document(answer: Answer) -> dict[str, Any]:
    if answer.error is not None:
        return {"element": answer.element, "error": {"code": answer.error, "message": answer.message}}
    return {"element": answer.element, **shown(answer.value), "masked": answer.masked}
