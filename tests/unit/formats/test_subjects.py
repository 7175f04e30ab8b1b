"""Subjects are named as Confluent's strategies name them."""

import pytest
from confluent_kafka.schema_registry import (
    record_subject_name_strategy,
    topic_record_subject_name_strategy,
    topic_subject_name_strategy,
)
from confluent_kafka.serialization import MessageField, SerializationContext

from streamguard.errors import ConfigError
from streamguard.formats.subjects import subject_name


@pytest.mark.parametrize("is_key", [False, True])
@pytest.mark.parametrize(
    ("strategy", "confluents"),
    [
        ("topic", topic_subject_name_strategy),
        ("record", record_subject_name_strategy),
        ("topic_record", topic_record_subject_name_strategy),
    ],
)
def test_as_confluent_names_them(strategy, confluents, is_key: bool):
    context = SerializationContext("orders", MessageField.KEY if is_key else MessageField.VALUE)
    named = subject_name(strategy, "orders", "shop.Order", is_key=is_key)
    assert named == confluents(context, "shop.Order")


def test_a_topics_subject_needs_no_record():
    assert subject_name("topic", "orders") == "orders-value"


@pytest.mark.parametrize("strategy", ["record", "topic_record"])
def test_a_record_without_a_name_has_no_subject(strategy):
    with pytest.raises(ConfigError, match=f"'subjects: {strategy}'"):
        subject_name(strategy, "orders")
