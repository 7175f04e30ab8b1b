"""Confluent's client-side field level encryption: the JSON serializer of confluent-kafka, six fields tagged PII.

The registry is its own mock and the KMS its own local one, so nothing here waits for a network. The serializer
validates what it has encrypted, so the patterns of encrypted fields are taken out of the schema.

Prints one line of JSON: ``{"cpu_us": …}``, CPU time per record from bytes to bytes.
"""

from __future__ import annotations

import argparse
import time
from functools import reduce
from operator import getitem
from typing import Any

import orjson
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.rules.encryption.encrypt_executor import FieldEncryptionExecutor
from confluent_kafka.schema_registry.rules.encryption.localkms.local_driver import LocalKmsDriver
from confluent_kafka.schema_registry.schema_registry_client import (
    Rule,
    RuleKind,
    RuleMode,
    RuleParams,
    RuleSet,
)
from confluent_kafka.serialization import MessageField, SerializationContext

from benchmarks.records import PROTECTED, SCHEMA, orders

TOPIC = "orders"


def tagged_schema() -> dict[str, Any]:
    """The reference schema, its protected fields tagged and free to hold a ciphertext."""
    schema: dict[str, Any] = orjson.loads(SCHEMA.read_bytes())
    for path in PROTECTED:
        node = schema
        for name in path.split("."):
            node = node["properties"][name]
        node["confluent:tags"] = ["PII"]
        node.pop("pattern", None)
        node.pop("format", None)
    return schema


def make_serializer(*, validate: bool) -> JSONSerializer:
    """A serializer that encrypts every field tagged PII with AES-256-GCM, its data key in the mock registry."""
    LocalKmsDriver.register()
    FieldEncryptionExecutor.register()
    client = SchemaRegistryClient.new_client({"url": "mock://"})
    rule = Rule(
        name="encrypt-pii",
        doc=None,
        kind=RuleKind.TRANSFORM,
        mode=RuleMode.WRITEREAD,
        type="ENCRYPT",
        tags=["PII"],
        params=RuleParams(
            {"encrypt.kek.name": "bench", "encrypt.kms.type": "local-kms", "encrypt.kms.key.id": "bench"}
        ),
        expr=None,
        on_success=None,
        on_failure="ERROR",
        disabled=False,
    )
    client.register_schema(
        f"{TOPIC}-value",
        Schema(orjson.dumps(tagged_schema()).decode(), "JSON", [], None, RuleSet(None, [rule])),
    )
    return JSONSerializer(
        None,
        client,
        conf={"auto.register.schemas": False, "use.latest.version": True, "validate": validate},
        rule_conf={"secret": "bench"},
    )


def protected(value: bytes) -> list[bytes]:
    """What must not be readable in a serialized order."""
    document = orjson.loads(value)
    return [reduce(getitem, path.split("."), document).encode() for path in PROTECTED]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--validate", action="store_true")
    options = parser.parse_args()

    serialize = make_serializer(validate=options.validate)
    context = SerializationContext(TOPIC, MessageField.VALUE)
    values = orders(options.records)
    written = (
        serialize(orjson.loads(values[0]), context) or b""
    )  # makes the keys, and shows whether it encrypts
    if any(plain in written for plain in protected(values[0])):
        raise SystemExit("the serializer did not encrypt: this would not measure what it says")
    started = time.process_time()
    for value in values:
        serialize(orjson.loads(value), context)
    print(orjson.dumps({"cpu_us": (time.process_time() - started) / len(values) * 1e6}).decode())


if __name__ == "__main__":
    main()
