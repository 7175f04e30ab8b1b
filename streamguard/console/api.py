"""The HTTP API: ``POST /v1/reveal`` and ``GET /v1/health``.

Who asks is looked at before what is asked. Every answer is JSON, and every error is in our words: nothing of a request
comes back, and nothing of a library's text. What is revealed must not be kept by anything on the way (``no-store``).
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.metadata import version
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from streamguard import logs
from streamguard.access.errors import AuthenticationError, LimitExceeded
from streamguard.access.opening import Ask
from streamguard.access.principal import Credential, Principal, is_name
from streamguard.access.reveal import Answer, Desk
from streamguard.access.reveal import Request as Asked
from streamguard.access.shown import shown
from streamguard.console.models import (
    FieldValue,
    Health,
    Problem,
    RevealAnswer,
    RevealRequest,
    TokenValue,
)
from streamguard.errors import KeysUnavailableError
from streamguard.policy.service import Certificates
from streamguard.transforms.base import Origin, Transform

LARGEST: Final = 4 << 20
"""Bytes of a request."""

FAILURES: Final = 30
"""Credentials from one address that may fail within `FAILURES_PER`; then it has to wait.

Each is on the trail; of those that come while it has to wait, an entry for all within `FAILURES_PER`.
"""

FAILURES_PER: Final = 60.0
"""Seconds."""

CERTIFICATE: Final = "streamguard.certificate"
"""Where the server puts the subject of a client's certificate, among the extensions of an ASGI scope."""

Fields = Mapping[tuple[str, str], Transform[Any]]
"""The reversible fields of the service's policies, by policy and path."""

_HEALTH_SECONDS: Final = 5.0
_SOURCES_MOST: Final = 10_000
_BEARER: Final = re.compile(r"[Bb]earer +(\S{1,16384})")
_STATUSES: Final = (400, 401, 403, 404, 405, 413, 415, 422, 429, 503)
_WORDS: Final = {
    400: "This is not an HTTP request that can be read.",
    404: "There is nothing here. See /v1/openapi.json.",
    405: "This address does not take that method.",
}
_INVALID: Final = "The request is not as /v1/openapi.json describes it"
_NAMES: Final = frozenset({*RevealRequest.model_fields, *TokenValue.model_fields, *FieldValue.model_fields})

_log = logs.get(__name__)


class _Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"error": {"code": code, "message": message}}
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> Response:
        """The answer."""
        return _json(self.status, self.body, self.headers)


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
        return await _answered(self._reveal(request))

    async def health(self) -> Response:
        """``GET /v1/health``."""
        return await _answered(run_in_threadpool(self._healthy))

    async def _reveal(self, request: Request) -> Response:
        peer = request.client.host if request.client else ""
        principal = await run_in_threadpool(self._enter, self._credential(request, peer), source_of(peer))
        asked = self._asked(await _body(request))
        try:
            answers = await run_in_threadpool(self._desk.reveal, principal, asked)
        except LimitExceeded as error:
            raise _Refusal(429, "limit", str(error), Retry_After=str(error.retry_after)) from None
        if any(answer.error == "keys_unavailable" for answer in answers):
            raise KeysUnavailableError("A key cannot be had now.")
        if all(answer.error == "denied" for answer in answers):
            raise _Refusal(403, "denied", answers[0].message)
        return _json(200, {"values": [_as_document(answer) for answer in answers]})

    def _enter(self, credential: Credential, source: str) -> Principal:
        """Who shows this credential. In a thread: what it costs to refuse many at once is bounded by the threads."""
        if wait := self._failures.wait(source):
            self._turn_away(source)
            raise _Refusal(
                429, "failures", "Too many credentials from your address failed.", Retry_After=str(wait)
            )
        try:
            return self._desk.enter(credential)
        except AuthenticationError as error:
            self._failures.add(source)
            raise _Refusal(401, "credentials", error.message, WWW_Authenticate="Bearer") from None
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
            raise _Refusal(422, "invalid", f"{_INVALID}{_where(error)}.") from None
        asks = [self._ask(place, value) for place, value in enumerate(found.values)]
        return Asked(asks, found.purpose, masked=found.masked)

    def _ask(self, place: int, value: TokenValue | FieldValue) -> Ask:
        if isinstance(value, TokenValue):
            return Ask(value.token)
        transform = self._fields.get((value.policy, value.field))
        if transform is None:
            raise _Refusal(
                422, "invalid", f"No policy here has the field that values[{place}] names, reversibly."
            )
        return Ask(value.value, transform, Origin(value.key_id, value.subject))

    def _healthy(self) -> Response:
        self._health()
        return _json(200, {"status": "ok"})


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
    app.exception_handler(HTTPException)(_refused)
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


# -- Bounds ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Source:
    """An address: when its credentials failed, and how many attempts were turned away since that was last told."""

    failed: deque[float] = field(default_factory=lambda: deque(maxlen=FAILURES))
    away: int = 0
    told: float = float("-inf")


class Failures:
    """How often credentials from an address failed lately. `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sources: OrderedDict[str, _Source] = OrderedDict()

    def add(self, source: str) -> None:
        """One more."""
        with self._lock:
            self._sources.setdefault(source, _Source()).failed.append(self._clock())
            self._sources.move_to_end(source)
            while len(self._sources) > _SOURCES_MOST:
                self._sources.popitem(last=False)

    def wait(self, source: str) -> int:
        """For how many seconds this address must not try again; 0 when it may."""
        with self._lock:
            found = self._sources.get(source)
            if found is None or len(found.failed) < FAILURES:
                return 0
            left = found.failed[0] + FAILURES_PER - self._clock()
            return int(left) + 1 if left > 0 else 0

    def turned_away(self, source: str) -> int:
        """An attempt came in spite of that: for how many it is to be told now; 0 when it was told lately."""
        with self._lock:
            found = self._sources.get(source)
            if found is None:
                return 1
            found.away += 1
            now = self._clock()
            if now - found.told < FAILURES_PER:
                return 0
            attempts, found.away, found.told = found.away, 0, now
            return attempts

    def untold(self, source: str, attempts: int) -> None:
        """It could not be told: the next attempt tells of these, too."""
        with self._lock:
            if (found := self._sources.get(source)) is not None:
                found.away += attempts
                found.told = float("-inf")


def source_of(peer: str) -> str:
    """Whose failures count together: an address, and of IPv6 the 64 bits that one customer has all addresses behind."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    if not isinstance(address, IPv6Address):
        return peer
    return str(address.ipv4_mapped or ip_network((int(address), 64), strict=False))


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


async def _answered(work: Awaitable[Response]) -> Response:
    try:
        return await work
    except _Refusal as refusal:
        return refusal.response()
    except KeysUnavailableError as error:
        _log.warning("api.unavailable", error=error)
        return _Refusal(503, "unavailable", "Nothing can be revealed now.", Retry_After="5").response()
    except Exception as error:  # noqa: BLE001 - the last resort: its words may hold what was revealed
        _log.error("api.failed", error=error)
        return _Refusal(500, "failed", "StreamGuard failed on this request.").response()


async def _body(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _Refusal(415, "content_type", "Requests are JSON: write 'Content-Type: application/json'.")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST:
            raise _Refusal(413, "too_large", f"A request has at most {LARGEST:,} bytes.", Connection="close")
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


def _json(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    every = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(
        orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE),
        status,
        {**every, **(headers or {})},
        media_type="application/json",
    )


def _refused(_: Request, error: HTTPException) -> Response:
    """What the framework refuses before it comes to us."""
    message = _WORDS.get(error.status_code, f"{HTTPStatus(error.status_code).phrase}.")
    code = HTTPStatus(error.status_code).name.lower()
    allow = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    return _json(error.status_code, {"error": {"code": code, "message": message}}, allow)
