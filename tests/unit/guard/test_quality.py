"""Quality rules: verdicts as CEL gives them on the whole document, and rules that are refused."""

import cel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import ConfigError
from streamguard.guard.batch import Batch
from streamguard.guard.quality import Quality, compile_rule
from streamguard.policy.models import QualityRule

ORDER = {
    "type": "order.placed",
    "payment": {"amount": 12.5, "currency": "EUR", "refund": None},
    "items": [{"sku": "A", "qty": 2}, {"sku": "B", "qty": 1}],
    "labels": {"gift": "yes"},
    "ok": True,
    "note": "x.y(z)",
}


def rule(text, code="c", **more):
    return QualityRule(rule=text, code=code, **more)


def findings(rules, *documents):
    batch = Batch("t", [b""] * len(documents))
    batch.documents = list(documents)
    Quality(rules).apply(batch)
    return batch.findings


def codes(rules, *documents):
    return {row: [finding.code for finding in found] for row, found in findings(rules, *documents).items()}


def test_each_rule_that_is_not_true_is_a_finding():
    rules = [rule("payment.amount >= 0", "negative"), rule("size(items) > 0", "empty"), rule("ok", "not_ok")]
    bad = ORDER | {"payment": {"amount": -1}, "items": []}
    assert codes(rules, ORDER, bad, ORDER | {"ok": False}) == {
        1: ["quality.negative", "quality.empty"],
        2: ["quality.not_ok"],
    }


def test_a_rule_that_cannot_be_evaluated_is_not_met():
    rules = [rule("payment.amount >= 0", "negative")]
    documents = [
        {},
        {"payment": None},
        {"payment": "x"},
        {"payment": {}},
        {"payment": {"amount": "12"}},
        [],
        7,
        None,
    ]
    assert codes(rules, *documents) == {row: ["quality.negative"] for row in range(8)}


def test_a_result_that_is_no_boolean_is_not_met():
    assert codes(
        [rule("flags.active", "inactive")], {"flags": {"active": 1}}, {"flags": {"active": True}}
    ) == {0: ["quality.inactive"]}


def test_a_name_that_one_rule_binds_is_a_field_for_the_others():
    rules = [rule("items.all(i, i > 0)", "positive"), rule("items.exists(items, items == 2)", "two")]
    assert codes(rules, {"items": [2]}, {"items": [0, 2]}, {"items": [1]}) == {
        1: ["quality.positive"],
        2: ["quality.two"],
    }


def test_a_field_at_the_top_can_be_asked_for():
    rules = [rule("!has(note) || size(note) < 4", "long"), rule("has(id)", "nobody")]
    assert codes(
        rules, {"id": 1}, {"id": None, "note": "abc"}, {"note": "abcd"}, {"id": 2, "note": None}
    ) == {
        2: ["quality.long", "quality.nobody"],
        3: ["quality.long"],
    }
    assert compile_rule(rules[0]).paths == {("note",)}
    with pytest.raises(ConfigError, match=r"not a CEL expression \(line 1, column 18\)"):
        compile_rule(rule("has( note ) && a ="))
    with pytest.raises(ConfigError, match="not a CEL expression"):
        compile_rule(rule("items.all(i, has(i))"))


def test_rejected_rows_are_left_alone():
    batch = Batch("t", [b"", b""])
    batch.documents = [{}, {}]
    batch.live = [1]
    Quality([rule("ok")]).apply(batch)
    assert list(batch.findings) == [1]


def test_messages_are_the_policy_s_own_and_hold_no_value():
    told = findings([rule("note == 'a'", message="Say a.")], {"note": "CANARY"})[0][0]
    assert (told.message, told.stage, told.path) == ("Say a.", "quality", "")
    plain = findings([rule("note == 'a'")], {"note": "CANARY"})[0][0]
    assert plain.message == "the rule is not met: note == 'a'"
    failed = findings([rule("note > 1", message="Say a.")], {"note": "CANARY"})[0][0]
    assert failed.message.startswith("the rule cannot be evaluated")
    assert "CANARY" not in repr((told, plain, failed))


RULES = [
    "payment.amount >= 0",
    "payment.amount >= 0.0 && payment.currency in ['EUR', 'USD']",
    "has(payment.refund)",
    "!has(payment.discount) || payment.discount <= payment.amount",
    "has(payment.discount) ? payment.discount < 1.0 : ok",
    "items.all(i, i.qty > 0)",
    "items.exists(items, items.qty == 2)",
    "items.exists_one(i, i.sku == 'A' && has(i.qty))",
    "size(items.filter(ok, ok.qty > 1)) == 1 && ok",
    "items.map(i, i.qty)[0] == 2",
    "items[0].sku == 'A'",
    "payment['amount'] > 1.0",
    "labels.gift.startsWith('y') && labels . gift . size ( ) == 3",
    "note == 'x.y(z)' || note == \"has(payment.amount)\" || note == r'\\' || note == '''it's'''",
    "note.matches('^[a-z].y') // payment.amount",
    "type.startsWith('order.') && type(ok) == bool && string(payment.amount) == '12.5'",
    "payment.amount / 0.0 > 1.0 || 1.5e-3 < 0.1 || 0x1F == 31 || 2u == 2u",
    "{'a': ok}.a && [ok, true][0]",
    "(payment.amount > 100.0 || missing.field == 1) == false",
    "missing.field == 1 || ok",
    "ok && missing.field == 1",
    "labels == {'gift': 'yes'} && payment.refund == null",
    "int(payment.amount) == 12 && double('1.5') == 1.5",
    "timestamp('2024-01-01T00:00:00Z').getFullYear() == 2024",
    "dyn(payment).amount > 1.0 && 'gift' in labels",
]


def plain_verdict(text, document):
    """The verdict of the evaluator on the whole document, without our reading of the rule."""
    try:
        return cel.compile(text).execute(document) is True
    except Exception:  # noqa: BLE001
        return False


@pytest.mark.parametrize("text", RULES)
def test_a_verdict_is_the_verdict_on_the_whole_document(text):
    assert (not codes([rule(text)], ORDER)) == plain_verdict(text, ORDER)


VALUES = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([12.5, 0.0, -1.5, "A", "EUR", "x.y(z)"])
)
NAMES = st.sampled_from(
    [
        "type",
        "payment",
        "items",
        "labels",
        "ok",
        "note",
        "amount",
        "currency",
        "discount",
        "refund",
        "qty",
        "sku",
        "gift",
    ]
)
ANYTHING = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
ORDERS = st.fixed_dictionaries(
    {},
    optional={
        "type": VALUES,
        "payment": ANYTHING
        | st.fixed_dictionaries({}, optional=dict.fromkeys(["amount", "currency", "discount"], VALUES)),
        "items": ANYTHING
        | st.lists(st.fixed_dictionaries({}, optional={"qty": VALUES, "sku": VALUES}), max_size=3),
        "labels": ANYTHING,
        "ok": VALUES,
        "note": VALUES,
    },
)


@given(st.lists(st.sampled_from(RULES), min_size=1, max_size=4), ORDERS)
def test_verdicts_are_those_on_the_whole_document_whatever_it_is(texts, document):
    rules = [rule(text, f"r{number}") for number, text in enumerate(texts)]
    expected = [
        f"quality.r{number}" for number, text in enumerate(texts) if not plain_verdict(text, document)
    ]
    assert codes(rules, document).get(0, []) == expected


def test_a_rule_knows_the_fields_that_it_reads():
    assert compile_rule(
        rule("payment.amount > 0 && has(payment.tip) && items.all(i, i.qty < limits.qty)")
    ).paths == {
        ("payment", "amount"),
        ("payment", "tip"),
        ("items",),
        ("limits", "qty"),
    }
    assert compile_rule(rule("a . b.startsWith('c.d') // e.f")).paths == {("a", "b")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("payment.amount >=", r"not a CEL expression \(line 1, column 18\)"),
        ("a = 1", "not a CEL expression"),
        ("", "not a CEL expression"),
        ("now() > 1", "calls 'now'"),
        ("note.lowerAscii() == 'a'", "calls 'lowerAscii'"),
        ("payment.amount + 1", "not true or false"),
        ("'yes'", "not true or false"),
        ("size(items)", "not true or false"),
        ("items.map(i, i.qty)", "not true or false"),
        ("ok ? 1 : 2", "not true or false"),
        (".ok", "not clear"),
    ],
)
def test_refuses_what_is_no_rule(text, message):
    with pytest.raises(ConfigError, match=message):
        compile_rule(rule(text))
    with pytest.raises(ConfigError, match=message):
        Quality([rule("true"), rule(text)])


def test_the_schema_tells_which_fields_are_boolean():
    types = {("payment", "amount"): {"number"}, ("ok",): {"boolean"}, ("a",): {"string", "integer"}}
    compile_rule(rule("ok"), types)
    compile_rule(rule("a == 'x'"), types)
    compile_rule(rule("unknown.field"), types)
    for text in ("payment.amount", "a", "ok ? a : payment.amount"):
        with pytest.raises(ConfigError, match="not true or false"):
            compile_rule(rule(text), types)


def test_no_rules_are_no_findings():
    assert findings([], {}) == {}
