"""Clean steps: what each mends, what it leaves for validation to judge, and that coercion loses nothing."""

import copy
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import ConfigError
from streamguard.guard.batch import Batch
from streamguard.guard.clean import Clean
from streamguard.policy.models import Policy
from streamguard.policy.paths import parse_path


def clean(steps, *documents, **options):
    batch = Batch("t", [b""] * len(documents))
    batch.documents = list(documents)
    Clean(steps, **options).apply(batch)
    assert not batch.findings
    return batch.documents


def mend(value, *steps):
    return clean({"x": steps}, {"x": value})[0]["x"]


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        ("trim", " \t Ana \n", "Ana"),
        ("lower", "ANA@Example.COM", "ana@example.com"),
        ("upper", "eur", "EUR"),
        ("nfc", "Ame\u0301lie", "Amélie"),
        ("nfkc", "ﬁne １２", "fine 12"),  # noqa: RUF001
        ("collapse", "  a \t\n b\u00a0 c ", "a b c"),
        ({"coerce": "integer"}, "12", 12),
        ({"coerce": "integer"}, "-12", -12),
        ({"coerce": "integer"}, "0", 0),
        ({"coerce": "integer"}, 12.0, 12),
        ({"coerce": "integer"}, "18446744073709551615", 18446744073709551615),
        ({"coerce": "number"}, "12", 12),
        ({"coerce": "number"}, "12.50", 12.5),
        ({"coerce": "number"}, "1e3", 1000.0),
        ({"coerce": "number"}, "-0.1", -0.1),
        ({"coerce": "boolean"}, "true", True),
        ({"coerce": "boolean"}, "false", False),
        ({"coerce": "string"}, 12, "12"),
        ({"coerce": "string"}, 12.5, "12.5"),
        ({"coerce": "string"}, True, "true"),
        ({"default": "none"}, None, "none"),
        ({"default": 0}, None, 0),
        ({"map": {"y": True, "n": False}}, "y", True),
        ({"map": {"1": "one"}}, 1, "one"),
        ({"map": {"1": "one"}}, "1", "one"),
        ({"map": {"true": "yes"}}, True, "yes"),
        ({"map": {"null": 0}}, None, 0),
        ({"map": {"": None}}, "", None),
    ],
)
def test_mends(step, before, after):
    mended = mend(before, step)
    assert (mended, type(mended)) == (after, type(after))


@pytest.mark.parametrize(
    ("step", "value"),
    [
        *[({"coerce": "integer"}, text) for text in ("007", "+1", "-0", "1e3", "1.0", " 1", "", "x", "1_000", "٣")],
        ({"coerce": "integer"}, "18446744073709551616"),
        ({"coerce": "integer"}, "-9223372036854775809"),
        ({"coerce": "integer"}, "9" * 5000),
        ({"coerce": "integer"}, 12.5),
        ({"coerce": "integer"}, 1e300),
        ({"coerce": "integer"}, True),
        *[({"coerce": "number"}, text) for text in ("1e999", "1e-400", ".5", "1.", "NaN", "Infinity", "0x1", "1,5")],
        ({"coerce": "number"}, "0.1234567890123456789"),
        ({"coerce": "number"}, "123456789012345678901234567890"),
        *[({"coerce": "boolean"}, value) for value in ("True", "1", "yes", "", 1, 0)],
        *[({"coerce": "string"}, value) for value in ([], {}, "x", None)],
        *[(step, value) for step in ("trim", "lower", "upper", "nfc", "collapse") for value in (1, None, [" x "])],
        ({"default": "x"}, ""),
        ({"default": "x"}, False),
        ({"map": {"1": "one"}}, True),
        ({"map": {"1": "one"}}, 1.0),
        ({"map": {"a": "b"}}, ["a"]),
        ({"map": {"a": "b"}}, {"a": 1}),
    ],
)  # fmt: skip
def test_leaves_for_validation(step, value):
    mended = mend(value, step)
    assert (mended, type(mended)) == (value, type(value))


def test_steps_run_in_their_order():
    assert mend("  YES ", "trim", "lower", {"map": {"yes": True}}) is True
    assert mend("  ", "trim", {"map": {"": None}}, {"default": "unknown"}) == "unknown"
    assert mend(None, {"default": "unknown"}, {"map": {"unknown": "?"}}) == "?"
    assert mend(" 12 ", "trim", {"coerce": "integer"}) == 12
    assert mend(" 12 ", {"coerce": "integer"}, "trim") == "12"


def test_a_default_fills_what_is_missing_but_makes_no_objects():
    assert clean({"a.b": [{"default": 1}]}, {"a": {}}, {"a": {"b": None}}, {"a": {"b": 2}}, {}, {"a": None}) == [
        {"a": {"b": 1}}, {"a": {"b": 1}}, {"a": {"b": 2}}, {}, {"a": None},
    ]  # fmt: skip
    assert clean({"items[*].qty": [{"default": 1}]}, {"items": [{}, {"qty": None}, {"qty": 3}]}) == [
        {"items": [{"qty": 1}, {"qty": 1}, {"qty": 3}]}
    ]
    assert clean({"tags[*]": [{"default": "?"}]}, {"tags": [None, "a"]}, {"tags": []}) == [
        {"tags": ["?", "a"]},
        {"tags": []},
    ]


def test_a_step_that_changes_a_value_does_not_add_missing_ones():
    assert clean({"x": ["trim", {"map": {"a": "b"}}]}, {}, {"x": None}) == [{}, {"x": None}]


def test_wildcards_reach_every_property():
    assert clean(
        {"by.*.name": ["upper"]}, {"by": {"home": {"name": "a"}, "work": {"name": "b"}, "x": 1}}
    ) == [{"by": {"home": {"name": "A"}, "work": {"name": "B"}, "x": 1}}]
    assert clean({"labels.*": ["trim"]}, {"labels": {"a": " x ", "b": 1}}) == [{"labels": {"a": "x", "b": 1}}]


@pytest.mark.parametrize(
    "document", [{}, [], None, "text", 7, {"a": "text"}, {"a": []}, {"a": [1, [], {}]}, {"a": 0}]
)
def test_other_shapes_are_left_for_validation(document):
    before = orjson.dumps(document)
    for path in ("a.b", "a[*].b", "a[*]", "a.*", "a.*.b"):
        clean({path: ["trim", {"coerce": "integer"}, {"default": "x"}]}, orjson.loads(before))
    assert clean({"a.b.c": ["trim", {"default": "x"}]}, orjson.loads(before)) == [orjson.loads(before)]


def test_only_live_rows_are_touched():
    batch = Batch("t", [b"", b""])
    batch.documents = [{"x": " a "}, {"x": " a "}]
    batch.live = [1]
    Clean({"x": ["trim"]}).apply(batch)
    assert batch.documents == [{"x": " a "}, {"x": "a"}]


def test_a_bare_coerce_takes_the_type_of_the_schema():
    types = {parse_path("age"): frozenset({"integer"})}
    assert clean({"age": ["coerce"]}, {"age": "41"}, types=types) == [{"age": 41}]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (["coerce"], "does not declare a single simple type"),
        ([{"coerce": "date"}], "coerce takes one of"),
        ([{"coerce": ["integer"]}], "coerce takes one of"),
        ([{"default": {}}], "a default is"),
        ([{"default": []}], "a default is"),
        ([{"map": "a"}], "single values"),
        ([{"map": {"a": {}}}], "single values"),
        ([{"trim": True}], "unknown step 'trim'"),
        ([{"map": {}, "default": 1}], "one of coerce, default, map"),
        ([{}], "one of coerce, default, map"),
    ],
)
def test_refuses_steps_that_cannot_be(steps, message):
    with pytest.raises(ConfigError, match=message):
        Clean({"x": steps})


def test_takes_what_the_policy_model_takes():
    policy = Policy.model_validate(
        {"topic": "t", "key": "drop", "clean": {"x": ["trim", {"default": 1}], "y": [{"map": {"a": "b"}}]}}
    )
    assert clean(policy.clean, {"y": "a"}) == [{"y": "b", "x": 1}]


@given(st.integers(min_value=-(2**63), max_value=2**64 - 1))
def test_integers_survive_the_way_to_text_and_back(number):
    assert mend(number, {"coerce": "string"}, {"coerce": "integer"}) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_the_way_to_text_and_back(number):
    back = mend(number, {"coerce": "string"}, {"coerce": "number"})
    assert back in (number, orjson.dumps(number).decode())
    assert Decimal(str(back)) == Decimal(repr(number))


@given(
    st.one_of(st.text("0123456789.eE+- ", max_size=30), st.text(max_size=10)),
    st.sampled_from(["integer", "number"]),
)
def test_a_coercion_loses_nothing(text, target):
    value = mend(text, {"coerce": target})
    assert value == text or (Decimal(text) == Decimal(repr(value)) and not isinstance(value, bool))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abx"), inner, max_size=3),
)
STEPS = st.lists(
    st.sampled_from(
        [
            *("trim", "lower", "upper", "nfc", "nfkc", "collapse"),
            *({"coerce": target} for target in ("integer", "number", "boolean", "string")),
            {"default": "d"},
            {"map": {"a": 1, True: "t", None: 0}},
        ]
    ),
    max_size=4,
)


@given(JSON, STEPS, st.sampled_from(["a", "a.b", "a[*]", "a[*].b", "*", "a.*.b", "*.*"]))
def test_never_fails_and_changes_no_shape(document, steps, path):
    before = copy.deepcopy(document)
    (after,) = clean({path: steps}, document)
    assert type(after) is type(before)
    if isinstance(after, dict):
        assert before.keys() <= after.keys()
        assert after.keys() - before.keys() <= {path}
