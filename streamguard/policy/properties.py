"""librdkafka's properties in the service file: which are ours, which security settings both clients can take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from streamguard.policy.document import Document
from streamguard.policy.problems import Problem, did_you_mean, listed

RESERVED: Final[Mapping[str, str]] = {
    "acks": "every output waits for all in-sync replicas",
    "auto.offset.reset": "write 'start: earliest', 'latest' or a time; an offset that is lost later stops the lane",
    "enable.auto.commit": "offsets are committed with the outputs, in one transaction",
    "enable.auto.offset.store": "offsets are committed with the outputs, in one transaction",
    "enable.idempotence": "it is always on: without it a retry repeats records",
    "enable.partition.eof": "a lane counts on it to know its lag",
    "heartbeat.interval.ms": "it follows from 'session_timeout_ms' beside 'kafka'",
    "isolation.level": "a lane reads committed records only",
    "partition.assignment.strategy": "a rebalance must be a full stop: abort, give all back, begin anew",
    "request.required.acks": "every output waits for all in-sync replicas",
    "session.timeout.ms": "write 'session_timeout_ms' beside 'kafka'",
    "transaction.timeout.ms": "write 'transaction_timeout_ms' beside 'kafka'",
    "transactional.id": "it is made of group, policy and slot, so that a restarted slot fences its own past",
}
"""Properties that carry our guarantees, with what to know or to write instead. So does all of ``group.*``."""

TRANSLATABLE: Final = (
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
)
"""The security settings that can be given to Faust's client as well."""

MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")

SHOWN: Final = frozenset({"bootstrap.servers", "client.id", *RESERVED, *TRANSLATABLE}) - {
    "sasl.password",
    "ssl.key.password",
}
"""Properties whose values may be shown. Any other may be a secret whose name is misspelt."""

_MISSPELT: Final = 0.85
"""How like a known property another one is when it must be that one misspelt; many share half of their letters."""

_SECURITY: Final = ("security.", "sasl.", "ssl.", "enable.ssl.", "enable.sasl.", "https.")


class Properties(dict[str, str]):
    """Properties as they go to librdkafka. Printing them shows their names only."""

    def __repr__(self) -> str:
        return f"<Kafka properties: {', '.join(self)}>"

    __str__ = __repr__


def property_problems(document: Document, kafka: Any) -> Iterator[Problem]:
    """What is wrong with the section ``kafka:`` of a service file, after its variables were replaced."""
    if not isinstance(kafka, dict):
        return
    if "bootstrap.servers" not in kafka:
        near = next((name for name in kafka if "bootstrap" in name), "")
        message = f"'{near}' is not a property" if near else "'bootstrap.servers' is missing"
        advice = did_you_mean(near, ["bootstrap.servers"]) or "write bootstrap.servers: host:9092"
        place = ("kafka", near or "bootstrap.servers")
        yield document.problem(place, message, code="missing", suggestion=advice, on="key")
    for name in kafka:
        reason, advice = _refusal(name)
        if reason:
            place = ("kafka", name)
            yield document.problem(
                place, f"'{name}' {reason}", code="refused_property", suggestion=advice, on="key"
            )
    for name, message, advice in _security_faults(kafka):
        yield document.problem(("kafka", name), message, code="wrong_value", suggestion=advice)


def _refusal(name: str) -> tuple[str, str]:
    """Why a property cannot be set, and what to know or to write instead; empty when it can."""
    if name in RESERVED:
        return "carries a guarantee of StreamGuard's", RESERVED[name]
    if name.startswith("group."):
        return "carries a guarantee of StreamGuard's", "write 'group' and 'slot' beside 'kafka'"
    if name.startswith(_SECURITY) and name not in TRANSLATABLE:
        advice = did_you_mean(name, TRANSLATABLE, _MISSPELT) or f"these can: {listed(TRANSLATABLE, 'and')}"
        return "cannot be given to Faust's client too, and half a secure service is none", advice
    return "", ""


def _security_faults(kafka: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Security settings that do not make a whole: the property, what is wrong, what to write."""
    given = [name for name in kafka if name in TRANSLATABLE]
    protocol = str(kafka.get("security.protocol", "PLAINTEXT")).upper()
    if protocol not in PROTOCOLS:
        message = f"'security.protocol' must be {listed(PROTOCOLS)}"
        yield "security.protocol", message, did_you_mean(protocol, PROTOCOLS)
        return
    for prefix, protocols in (("sasl.", "SASL_SSL or SASL_PLAINTEXT"), ("ssl.", "SSL or SASL_SSL")):
        idle = [name for name in given if name.startswith(prefix)]
        if idle and prefix.rstrip(".").upper() not in protocol.split("_"):
            message = f"'{idle[0]}' does nothing while 'security.protocol' is {protocol}"
            yield idle[0], message, f"write security.protocol: {protocols}"
    if protocol.startswith("SASL"):
        yield from _sasl_faults(
            kafka, [name for name in given if name.startswith("sasl.mechanism")], protocol
        )


def _sasl_faults(
    kafka: Mapping[str, Any], mechanisms: list[str], protocol: str
) -> Iterator[tuple[str, str, str]]:
    if not mechanisms:
        yield "sasl.mechanism", "'sasl.mechanism' is missing", f"write {listed(MECHANISMS)}"
    if len(mechanisms) == 2:
        yield (
            "sasl.mechanisms",
            "'sasl.mechanisms' says the same as 'sasl.mechanism'",
            "remove one of the two",
        )
    for name in mechanisms:
        if kafka[name] not in MECHANISMS:
            yield name, f"'{name}' must be {listed(MECHANISMS)}", did_you_mean(str(kafka[name]), MECHANISMS)
    for name in ("sasl.username", "sasl.password"):
        if name not in kafka:
            yield name, f"'{name}' is missing", f"{protocol} needs it"
