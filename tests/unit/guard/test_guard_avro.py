"""The corridor on Avro, where a schema's shape decides what a policy can do."""

import pytest

from streamguard.crypto.keyring import Keyring
from streamguard.errors import ConfigError
from streamguard.guard.batch import Batch
from streamguard.guard.guard import Guard
from streamguard.policy.models import Policy
from tests.unit.formats.avro_cases import record

DATE = {"type": "int", "logicalType": "date"}
MOMENT = {"type": "long", "logicalType": "timestamp-millis"}


def guard(schema, **policy):
    return Guard(
        Policy.model_validate(
            {"name": "t", "topic": "t", "key": "drop", "value": {"format": "avro", "schema": "t.avsc"}}
            | policy
        ),
        schema,
        Keyring.in_memory(),
    )


def passed(made, value):
    """What becomes of one record, read with the derived schema."""
    batch = Batch("t", [made.form.encode(value) if isinstance(value, dict) else value])
    made.process(batch)
    assert batch.findings == {}
    return made.out.decode(batch.out_values[0])


@pytest.mark.parametrize("union", [[DATE, MOMENT], ["null", DATE, MOMENT]])
@pytest.mark.parametrize(("verb", "left"), [("drop", {"b": 1}), ("nullify", {"a": None, "b": 1})])
def test_what_no_transform_could_take_can_be_dropped(union, verb, left):
    made = guard(record(("a", union), ("b", "int")), fields={"a": verb}, keep=["b"])
    position = union.index(MOMENT)
    assert passed(made, bytes([2 * position, 4, 2])) == left


def test_what_no_transform_could_take_is_refused_before_the_first_record():
    with pytest.raises(ConfigError, match="cannot be told apart"):
        guard(record(("a", [DATE, MOMENT])), fields={"a": "encrypt"})


def test_a_date_beyond_the_calendar_can_be_dropped():
    made = guard(record(("a", DATE), ("b", "int")), fields={"a": "drop"}, keep=["b"])
    assert passed(made, {"a": 2**31 - 1, "b": 1}) == {"b": 1}
