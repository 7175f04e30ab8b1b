"""The running API, fuzzed by its own description: no 5xx, and no answer that is not described."""

from collections.abc import Iterator
from itertools import count

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from streamguard.access.authn import Authenticator
from tests.unit.console.served import served
from tests.unit.console.test_api import MINE, Place, static

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Iterator[tuple[Place, int, list[str]]]:
    """A running API, its port, and tokens that it can open."""
    place = Place(tmp_path_factory.mktemp("fuzz"), Authenticator(tokens=static("fraud")))
    tokens = [
        *place.seal("email", "ana@example.com", 7, {"a": b"".hex()}, b"\xff"),
        *place.seal("secret", "x"),
    ]
    with served(place.app) as port:
        yield place, port, tokens


@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fitting", "unfitting"]
)
def test_no_request_makes_it_fail(mode, real):
    """Requests with credentials and without; in some, tokens that open."""
    place, port, tokens = real
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/v1/openapi.json")
    fuzzed = [found.ok() for found in schema.get_all_operations()]
    assert sorted(operation.label for operation in fuzzed) == ["GET /v1/health", "POST /v1/reveal"]
    turn = count()
    for operation in fuzzed:
        if mode is GenerationMode.NEGATIVE and operation.method == "get":
            continue  # it takes nothing that could be wrong

        @settings(max_examples=150, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(generation_mode=mode))
        def fuzz(case):
            plant(case.body, tokens)
            # One in ten comes without: more of them, and their address would be answered no more.
            headers = {"Authorization": f"Bearer {MINE}"} if next(turn) % 10 else {}
            case.call_and_validate(checks=CHECKS, headers=headers)

        fuzz()
    if mode is GenerationMode.POSITIVE:
        decided = {row.decision for row in place.keyring.store.audit.entries()}
        assert {"revealed", "denied", "refused"} <= decided


def plant(body, tokens):
    """Put tokens that open in place of half of the invented ones."""
    values = body.get("values") if isinstance(body, dict) else None
    for n, value in enumerate(values if isinstance(values, list) else ()):
        if isinstance(value, dict) and isinstance(value.get("token"), str) and len(value["token"]) % 2:
            value["token"] = tokens[n % len(tokens)]
