"""Check: a table of mistakes, each with its code, its line, its column and what to write instead."""

# ruff: noqa: E501 - one mistake per line reads as the table that it is

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamguard.crypto.kms.local import format_line, generate, write_file
from streamguard.guard.check import check, check_all, transforms
from streamguard.guard.check.service import service_problems
from streamguard.policy.loader import LoadedPolicy, load_policy
from streamguard.policy.problems import Problem
from streamguard.policy.service import read_service
from streamguard.transforms.redact import Redact
from streamguard.transforms.register import register

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string"},
        "ts": {"type": "integer"},
        "vip": {"type": "boolean"},
        "note": {"type": "string"},
        "ip": {"type": "string", "format": "ipv4"},
        "customer": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "email": {"type": "string", "format": "email"},
                "name": {"type": ["string", "null"]},
                "born": {"type": "string", "format": "date"},
                "a.b": {"type": "string"},
            },
        },
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"sku": {"type": "string"}, "price": {"type": "number"}},
            },
        },
        "tags": {"type": "array", "items": {"type": "string"}},
        "extra": {"type": "object"},
    },
}

GOOD = """\
topic: orders
value: {schema: s.json}
key: tokenize
headers: [traceparent]
subject: id
undeclared: reject
inspect: {skip: [note]}
clean:
  customer.email: [trim, lower]
  ts: [coerce]
fields:
  id: tokenize
  customer.email: {encrypt: {deterministic: true}, element: email}
  customer.name: encrypt
  customer.born: {generalize: {date: year}}
  customer.a\\.b: redact
  ip: {generalize: {ip: 24}}
  items[*].sku: hash
  extra: drop
keep: [ts, vip, note, "items[*].price", "tags[*]"]
quality:
  - {rule: ts > 0, code: early}
"""


@pytest.fixture
def load(tmp_path: Path):
    (tmp_path / "s.json").write_text(json.dumps(SCHEMA))

    def load(text: str, name: str = "orders.yaml") -> LoadedPolicy:
        (tmp_path / name).write_text(text)
        return load_policy(tmp_path / name)

    return load


@dataclass(frozen=True)
class Mistake:
    """`new` in the place of `old`, and what must be said of it; `at` is the text that is underlined."""

    old: str
    new: str
    code: str
    message: str
    suggestion: str
    at: str
    severity: str = "error"


def place(text: str, at: str) -> tuple[int, int]:
    """Line and column of a text that occurs once, or of the last occurrence of one that is marked with «»."""
    offset = text.rindex(at)
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


VERBS = "drop, encrypt, fake, fpe, generalize, hash, mask, nullify, redact, replace, shift_dates, tokenize and vault"
ONE_TREATMENT = "a value has one treatment: remove one of the two"

MISTAKES = [
    # paths that the schema does not have
    Mistake("  customer.name:", "  customer.nme:", "unknown_path", "the schema has no 'customer.nme'", "did you mean customer.name?", "customer.nme"),
    Mistake("  customer.name:", "  name:", "unknown_path", "the schema has no 'name'", "did you mean customer.name?", "name: encrypt"),
    Mistake("  items[*].sku:", "  items.sku:", "unknown_path", "the schema has no 'items.sku'", 'did you mean "items[*].sku"?', "items.sku"),
    Mistake("  ip: {", "  note.txt: redact\n  ip: {", "unknown_path", "the schema has no 'note.txt'", "did you mean note?", "note.txt"),
    Mistake("keep: [ts,", "keep: [tss,", "unknown_path", "the schema has no 'tss'", "did you mean ts?", "tss"),
    Mistake("  ip: {", "  $.ip: {", "unknown_path", "the schema has no '$.ip'", "did you mean ip?", "$.ip"),
    Mistake("  ip: {", "  zzz: redact\n  ip: {", "unknown_path", "the schema has no 'zzz'", "", "zzz"),
    Mistake("  ts: [coerce]", "  tsx: [trim]", "unknown_path", "the schema has no 'tsx'", "did you mean ts?", "tsx"),
    Mistake("subject: id", "subject: ids", "unknown_path", "the schema has no 'ids'", "did you mean id?", "ids"),
    Mistake("rule: ts > 0", "rule: tss > 0", "unknown_path", "the schema has no 'tss'", "did you mean ts?", "tss > 0"),
    Mistake("  extra: drop", "  extra.email: redact\n  extra: drop", "open_shape", "'extra.email' lies in 'extra', whose shape the schema leaves open", "transform it whole: extra: encrypt", "extra.email"),
    Mistake("  ip: {", "  items[0].sku: redact\n  ip: {", "bad_path", "'items[0].sku' is not a path: expected '.' or '[*]' between two names", "a path names no position: write [*] for every element", "items[0].sku"),
    Mistake("  ip: {", "  customer..x: redact\n  ip: {", "bad_path", r"'customer..x' is not a path: expected a name; write a literal '.', '[', ']' or '*' as '\.', '\[', '\]', '\*'", "", "customer..x"),
    # leaves that nobody classified
    Mistake("  ip: {generalize: {ip: 24}}\n", "", "unclassified", "nothing says what happens to 'ip'", "add to fields: ip: {generalize: {ip: 24}} (or list it in keep)", "fields"),
    Mistake("  customer.born: {generalize: {date: year}}\n", "", "unclassified", "nothing says what happens to 'customer.born'", "add to fields: customer.born: {generalize: {date: year}} (or list it in keep)", "fields"),
    Mistake("  items[*].sku: hash\n", "", "unclassified", "nothing says what happens to 'items[*].sku'", 'add to fields: "items[*].sku": encrypt (or list it in keep)', "fields"),
    Mistake(", note,", ",", "unclassified", "nothing says what happens to 'note'", "add to fields: note: encrypt (or list it in keep)", "fields"),
    # two treatments for one value
    Mistake("keep: [ts,", "keep: [ts, ip,", "overlap", "'ip' is in 'fields' and in 'keep'", ONE_TREATMENT, "ip, vip"),
    Mistake("keep: [ts,", "keep: [ts, ts,", "overlap", "'ts' is twice in 'keep'", ONE_TREATMENT, "ts, vip"),
    Mistake("  ip: {", "  items: encrypt\n  ip: {", "overlap", "'items[*].sku' and 'items' decide about the same values", ONE_TREATMENT, "items[*].sku"),
    Mistake("  extra: drop", "  extra: drop\n  customer.*: drop", "overlap", "'customer.*' and 'customer.email' decide about the same values", ONE_TREATMENT, "customer.*"),
    # what can be kept
    Mistake("  extra: drop\nkeep: [", "keep: [extra, ", "open_shape", "the schema leaves the shape of 'extra' open: anything could pass", "declare its fields, or transform it whole: extra: encrypt", "extra"),
    Mistake("  items[*].sku: hash\n", "", "kept_shape", "'items' holds several fields, and 'keep' names single ones", 'name them: "items[*].sku" and "items[*].price"', "items"),
    Mistake("inspect: {skip: [note]}", "inspect: {skip: [notes]}", "not_kept", "'notes' is not in 'keep', so nothing inspects it", "did you mean 'note'?", "notes"),
    Mistake("inspect: {skip: [note]}", "inspect: {skip: [ip]}", "not_kept", "'ip' is not in 'keep', so nothing inspects it", "remove it", "ip]}"),
    # the subject
    Mistake("subject: id", 'subject: "tags[*]"', "subject", "'tags[*]' names several values, and a record has one subject", "name a single value", '"tags[*]"\n'),
    Mistake("subject: id", "subject: vip", "subject", "'vip' is no text or whole number that could name a person", "name the person's id", "vip\n"),
    Mistake("subject: id", "subject: customer", "subject", "'customer' is no text or whole number that could name a person", "name the person's id", "customer\n"),
    # transforms
    Mistake("customer.name: encrypt", "customer.name: encypt", "unknown_transform", "unknown transform 'encypt'", "did you mean 'encrypt'?", "encypt"),
    Mistake("customer.name: encrypt", "customer.name: {encypt: {pad: 4}}", "unknown_transform", "unknown transform 'encypt'", "did you mean 'encrypt'?", "encypt"),
    Mistake("customer.name: encrypt", "customer.name: Encrypt", "unknown_transform", "unknown transform 'Encrypt'", "did you mean 'encrypt'?", "Encrypt"),
    Mistake("customer.name: encrypt", "customer.name: remove", "unknown_transform", "unknown transform 'remove'", "did you mean 'drop'?", "remove"),
    Mistake("customer.name: encrypt", "customer.name: pseudonymise", "unknown_transform", "unknown transform 'pseudonymise'", "did you mean 'tokenize'?", "pseudonymise"),
    Mistake("customer.name: encrypt", "customer.name: xyzzy", "unknown_transform", "unknown transform 'xyzzy'", f"there are: {VERBS}", "xyzzy"),
    Mistake("customer.name: encrypt", "customer.name: off", "unknown_transform", "unknown transform 'off'", f"there are: {VERBS}", "off"),
    Mistake("customer.name: encrypt", "customer.name: keep", "unknown_transform", "'keep' is not a transform", "list it under 'keep' instead: keep: [customer.name]", "keep\n"),
    Mistake("customer.name: encrypt", "customer.name: {encrypt: {determinstic: true}}", "unknown_option", "'encrypt' has no option 'determinstic'", "did you mean 'deterministic'?", "determinstic"),
    Mistake("extra: drop", "extra: {drop: {all: true}}", "unknown_option", "'drop' has no option 'all'", "nothing is known here", "all: true"),
    Mistake("customer.name: encrypt", "customer.name: {encrypt: {pad: long}}", "bad_options", "'pad' must be a whole number", "", "long"),
    Mistake("customer.name: encrypt", "customer.name: {encrypt: {pad: -1}}", "bad_options", "'pad' must be at least 0", "", "-1"),
    Mistake("customer.name: encrypt", "customer.name: {tokenize: {prefix: a.b}}", "bad_options", "'prefix' is not in the right form", "", "a.b"),
    Mistake("customer.name: encrypt", "customer.name: fake", "missing_option", "'fake' needs the option 'kind'", "write {fake: {kind: …}}", "fake"),
    Mistake("customer.name: encrypt", "customer.name: {fake: {kind: nam}}", "bad_options", "'kind' must be name, first_name, last_name, user_name, email, phone, address, street, postcode, city, country, company or job", "did you mean 'name'?", "nam}"),
    Mistake("customer.name: encrypt", "customer.name: {fake: {kind: name, locale: xx}}", "bad_options", "Faker has no such locale; write it as en_US, de_DE, pt_BR", "", "xx"),
    Mistake("customer.name: encrypt", "customer.name: {replace: {value: [1]}}", "bad_options", "'value' must be text, true or false, a whole number or a number", "", "[1]"),
    Mistake("customer.name: encrypt", "customer.name: generalize", "bad_options", "name exactly one of date, number, ip, text, geo", "", "generalize\n"),
    Mistake("customer.name: encrypt", "customer.name: {generalize: {number: 10}}", "bad_options", "'number' does not take values of type string", "", "generalize: {number"),
    Mistake("{generalize: {date: year}}", "{generalize: {date: hour}}", "bad_options", "A date has no time, so 'date: hour' would leave it as it is", "", "generalize: {date"),
    Mistake("{generalize: {date: year}}", "{generalize: {ip: 24}}", "bad_options", "'ip' does not take values of the format 'date'", "", "generalize: {ip: 24}}\n  customer"),
    Mistake('keep: [ts, vip, note, "items[*].price",', "keep: [ts, vip, note,", "wrong_field_type", "'mask' cannot take 'items[*].price', of type number", "these can: drop, encrypt, fake, generalize, hash, nullify, redact, replace, tokenize and vault", "mask"),
    Mistake("extra: drop", "extra: mask", "wrong_field_type", "'mask' cannot take 'extra', whose shape is open", "these can: drop, encrypt, fake, generalize, hash, nullify, redact, replace, tokenize and vault", "mask"),
    Mistake("keep: [ts, vip,", "keep: [ts,", "bad_options", "Under 'tokenize' a boolean has two outputs, which are told apart by how often they occur. Use 'encrypt', 'nullify' or 'drop'", "", "tokenize # vip"),
    Mistake("customer.name: encrypt", "customer.name: {encrypt: {per: person}}", "bad_options", "'per' must be subject", "", "person"),
    Mistake("customer.name: encrypt", "customer.name: {encrypt: {per: subject, deterministic: true}}", "bad_options", "under a person's key equal values never give equal tokens: leave out 'deterministic'", "", "{per: subject, d"),
    Mistake("ip: {generalize: {ip: 24}}", "ip: {fpe: {keep_first: 3, alphabet: digit}}", "bad_options", "'alphabet' must be digits, lower, upper, letters or alphanumeric", "did you mean 'digits'?", "digit}"),
    Mistake("id: tokenize", "id: {vault: {ttl: 30}}", "bad_options", "'ttl' must be a duration such as 14d, 12h, 90s or 250ms", "", "30}"),
    Mistake("{generalize: {date: year}}", "shift_dates", "shift_shown", "the record's timestamp stays, and tells by how many days 'customer.born' is moved", "write timestamp: drop", "shift_dates\n"),
    Mistake("{generalize: {date: year}}", "{shift_dates: {by: customer.born}}", "bad_options", "A date cannot be moved by itself: name in 'by' the field that says whose it is", "", "shift_dates: {by"),
    # the key
    Mistake("key: tokenize", "key: {encrypt: {per: subject}}", "bad_options", "A key under a person's key would be another one each time. Use 'tokenize'", "", "encrypt: {per"),
    Mistake("key: tokenize", "key: tokenise", "unknown_transform", "unknown transform 'tokenise'", "did you mean 'tokenize'?", "tokenise"),
    Mistake("key: tokenize", "key: kep", "unknown_transform", "unknown transform 'kep'", "did you mean 'keep'?", "kep"),
    Mistake("key: tokenize", "key: {drop: {now: 1}}", "unknown_option", "'drop' takes no options here", "write key: drop", "{drop"),
    Mistake("key: tokenize", "key: {generalize: {number: 5}}", "bad_options", "'number' does not take values of type string", "", "generalize: {number"),
    Mistake("key: tokenize", "key: {replace: {value: 5}}", "bad_options", "a key is a text", "put the value in quotes, or write drop", "{replace: {value: 5}}"),
    Mistake("key: tokenize", "key: encrypt", "key_randomized", "under 'encrypt' equal keys become different ones: compaction and joins by key break", "write {encrypt: {deterministic: true}} or tokenize", "encrypt\nheaders", "warning"),
    Mistake("key: tokenize", "key: redact", "key_constant", "under 'redact' all keys become equal: compaction would leave a single record", "write tokenize, or drop", "redact\nheaders", "warning"),
    # cleaning and quality
    Mistake("ts: [coerce]", "ts: [{coerce: int}]", "bad_step", "coerce takes one of integer, number, boolean, string", "", "{coerce"),
    Mistake("ts: [coerce]", "extra: [coerce]", "bad_step", "the schema does not declare a single simple type here", "Name one: {coerce: integer}.", "coerce"),
    Mistake("ts: [coerce]", "ts: [{default: [1]}]", "bad_step", "a default is a text, a number, true or false", "", "{default"),
    Mistake("rule: ts > 0", "rule: ts >", "bad_rule", "Quality rule 'early' is not a CEL expression (line 1, column 5)", "", "ts >"),
    Mistake("rule: ts > 0", "rule: ts + 1", "bad_rule", "Quality rule 'early' is not true or false", "A rule is a condition, such as 'payment.amount >= 0'.", "ts + 1"),
    Mistake("code: early}", "code: early}\n  - {rule: ts > 1, code: early}", "duplicate_code", "the code 'early' is used twice, and a violation should say which rule it breaks", "name one of them otherwise", "early}"),
    # topics
    Mistake("topic: orders", "topic: orders\noutputs: {clean: orders}", "topic_loop", "the output 'orders' is the policy's own input: every record would come round again", "write clean: orders.clean", "orders}"),
    Mistake("topic: orders", "topic: orders\noutputs: {clean: x, violations: x}", "same_output", "clean records and violations cannot share the topic 'x'", "name another one", "x}"),
    Mistake("topic: orders", "topic: " + "o" * 243, "long_topic", f"the default output '{'o' * 20}…' has more than 249 characters", "name outputs.violations yourself", "o" * 243),
    # doors that stand open
    Mistake("undeclared: reject", "undeclared: keep", "undeclared_kept", "a field that nobody declared passes in the clear", "reject or drop, unless the producer is trusted", "keep\ninspect", "warning"),
    Mistake("headers: [traceparent]", "headers: keep", "headers_kept", "every header passes, whatever a producer puts into it", "list the names that may pass: [traceparent]", "keep\nsubject", "warning"),
]  # fmt: skip

# A few mistakes need a second change of the policy, to stand alone.
ALSO = {
    "'mask' cannot take 'items[*].price', of type number": ("  extra: drop", "  extra: drop\n  items[*].price: {mask: {keep_last: 2}}"),
    "'items' holds several fields, and 'keep' names single ones": ('"items[*].price"', "items"),
    "Under 'tokenize' a boolean has two outputs, which are told apart by how often they occur. "
    "Use 'encrypt', 'nullify' or 'drop'": ("  extra: drop", "  extra: drop\n  vip: tokenize # vip"),
}  # fmt: skip


def test_the_policy_that_the_mistakes_are_made_in_is_right(load) -> None:
    assert check(load(GOOD)) == []


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: f"{mistake.code}: {mistake.message[:50]}")
def test_mistakes(load, mistake: Mistake) -> None:
    assert mistake.old in GOOD
    text = GOOD.replace(mistake.old, mistake.new)
    text = text.replace(*ALSO.get(mistake.message, ("", "")))
    problem = next(iter(problems for problems in check(load(text)) if problems.code == mistake.code), None)
    assert problem is not None, [str(problem) for problem in check(load(text))]
    assert (problem.message, problem.suggestion) == (mistake.message, mistake.suggestion)
    assert (problem.line, problem.column) == place(text, mistake.at)
    assert problem.severity == mistake.severity
    assert problem.source == text.splitlines()[problem.line - 1]


def test_no_mistake_of_the_table_is_found_elsewhere(load) -> None:
    """Each mistake gives its own problem, and at most one that follows from it."""
    for mistake in MISTAKES:
        text = GOOD.replace(mistake.old, mistake.new).replace(*ALSO.get(mistake.message, ("", "")))
        found = [problem.code for problem in check(load(text))]
        assert len(found) <= 2 or mistake.code == "overlap", (mistake, found)


def test_all_unclassified_leaves_are_listed(load) -> None:
    found = check(load("topic: orders\nvalue: {schema: s.json}\nkey: keep\n"))
    assert {problem.code for problem in found} == {"unclassified"}
    assert len(found) == 13
    assert {problem.line for problem in found} == {1}, "there is no 'fields' to point at"


def test_a_misspelt_path_is_not_reported_as_a_forgotten_leaf_too(load) -> None:
    found = check(load(GOOD.replace("  customer.name:", "  customer.nme:")))
    assert [problem.code for problem in found] == ["unknown_path"]


def test_a_whole_object_can_be_classified_at_once(load) -> None:
    text = GOOD
    for line in ("customer.email: {encrypt", "customer.name", "customer.born", "customer.a"):
        text = "\n".join(kept for kept in text.split("\n") if not kept.startswith(f"  {line}"))
    assert check(load(text.replace("fields:\n", "fields:\n  customer: encrypt\n"))) == []
    found = check(load(text.replace("fields:\n", "fields:\n  customer: mask\n")))
    assert [problem.code for problem in found] == ["wrong_field_type"]


def test_wildcards_name_declared_fields(load) -> None:
    text = GOOD
    for line in ("customer.email: {encrypt", "customer.name", "customer.born", "customer.a"):
        text = "\n".join(kept for kept in text.split("\n") if not kept.startswith(f"  {line}"))
    assert check(load(text.replace("fields:\n", "fields:\n  customer.*: redact\n"))) == []


def test_a_type_that_is_only_partly_taken_is_refused(load, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(
        json.dumps({"type": "object", "properties": {"a": {"type": ["string", "boolean"]}}})
    )
    found = check(load("topic: t\nkey: keep\nvalue: {schema: t.json}\nfields: {a: mask}\n"))
    assert [(problem.code, problem.message) for problem in found] == [
        ("wrong_field_type", "'mask' cannot take 'a', of type boolean")
    ]


@pytest.mark.parametrize(
    ("schema", "code", "message"),
    [
        ({"type": "string"}, "unclassified", "its records are single values"),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            "open_shape",
            "objects or arrays of any shape",
        ),
    ],
)
@pytest.mark.parametrize("fields", ["", "fields: {a: encrypt}\n", "tags: {PII: encrypt}\n"])
def test_a_schema_without_a_field_to_name(
    load, tmp_path: Path, fields: str, schema, code: str, message: str
) -> None:
    """Nothing is advised that cannot be written."""
    (tmp_path / "t.json").write_text(json.dumps({**schema, "confluent:tags": ["PII"]}))
    (problem,) = check(load(f"topic: t\nkey: keep\nvalue: {{schema: t.json}}\n{fields}"))
    assert (problem.code, problem.severity, problem.line) == (code, "error", 3)
    assert message in problem.message


@pytest.mark.parametrize("form", ["text", "bytes"])
@pytest.mark.parametrize("rule", ["drop", "nullify", "{replace: {value: 7}}"])
def test_what_leaves_nothing_of_a_whole_value(load, form: str, rule: str) -> None:
    """Each record would fail at the end of the corridor."""
    (problem,) = check(load(f"topic: t\nkey: keep\nvalue: {{format: {form}}}\nfields: {{$value: {rule}}}\n"))
    assert (problem.code, problem.severity) == ("clean_schema", "error")
    good = f"topic: t\nkey: keep\nvalue: {{format: {form}}}\nfields: {{$value: redact}}\n"
    assert check(load(good)) == []


def test_without_a_schema_a_warning_says_what_is_lost(load) -> None:
    (problem,) = check(
        load("topic: t\nkey: keep\nfields: {a: encrypt}\nkeep: [b]\nquality: [{rule: b > c, code: x}]\n")
    )
    assert (problem.code, problem.severity) == ("no_schema", "warning")


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "objct"}, "The schema is not a valid JSON Schema"),
        ({"type": "object", "properties": {"a": {"$ref": "other.json"}}}, "The schema "),
        ({"type": "string", "pattern": "("}, "The schema "),
    ],
)
def test_a_schema_that_is_none(load, tmp_path: Path, schema: dict, message: str) -> None:
    (tmp_path / "bad.json").write_text(json.dumps(schema))
    (problem,) = check(load("topic: t\nkey: keep\nvalue: {schema: bad.json}\n"))
    assert (problem.code, problem.line, problem.column) == ("bad_schema", 3, 17)
    assert problem.message.startswith(message)
    assert problem.suggestion


def test_problems_come_in_the_order_of_lines(load) -> None:
    text = (
        GOOD.replace("ts > 0", "tz > 0")
        .replace("key: tokenize", "key: encrypt")
        .replace("id: tokenize", "id: tokenise")
    )
    assert [problem.code for problem in check(load(text))] == [
        "key_randomized",
        "unknown_transform",
        "unknown_path",
    ]


class Fragile(Redact):
    """As a package may bring it: it fails where it should answer."""

    def check(self) -> str | None:
        raise KeyError(self.field.path)


def test_a_foreign_transform_that_fails(load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms, "register", lambda: {**register(), "fragile": Fragile})
    (problem,) = check(load(GOOD.replace("customer.name: encrypt", "customer.name: fragile")))
    assert (problem.code, problem.message) == ("bad_options", "the transform itself fails here (KeyError)")


def test_a_path_with_a_literal_dot(load) -> None:
    found = check(load(GOOD.replace("customer.a\\.b", "customer.a.b")))
    assert [(problem.code, problem.suggestion) for problem in found] == [
        ("unknown_path", 'did you mean "customer.a\\.b"?')
    ]


def card(**schema):
    """The policy whose `note` is a card number under fpe, and a schema that says so much of it."""
    whole = json.loads(json.dumps(SCHEMA))
    whole["properties"]["note"] |= schema
    return whole


KEPT = "{fpe: {keep_first: 6, keep_last: 4, luhn: true}}"


def test_the_domain_that_is_left_of_a_card_is_computed_from_the_schema(load, tmp_path: Path) -> None:
    def found(rule: str, schema: dict) -> list[Problem]:
        (tmp_path / "s.json").write_text(json.dumps(schema))
        text = GOOD.replace("ts, vip, note,", "ts, vip,").replace("inspect: {skip: [note]}\n", "")
        return check(load(text.replace("  extra: drop", f"  extra: drop\n  note: {rule}")))

    sixteen = card(pattern="^[0-9]{16}$")
    (refused,) = found(KEPT, sixteen)
    assert (refused.code, refused.severity) == ("bad_options", "error")
    assert "leaves 100,000 possibilities" in refused.message
    assert found("{fpe: {keep_first: 6, luhn: true}}", sixteen) == []
    (caution,) = found(KEPT, card(pattern="^[0-9]{13,19}$"))
    assert (caution.code, caution.severity) == ("caution", "warning")
    assert found(KEPT, card(minLength=19, maxLength=19)) == []
    (by_length,) = found("fpe", card(maxLength=5))
    assert by_length.code == "bad_options"
    (by_list,) = found("fpe", card(enum=["4111111111111111", "5500005555555559"]))
    assert "2 values" in by_list.message


def test_moved_dates_take_the_timestamp_along(load) -> None:
    moved = GOOD.replace("{generalize: {date: year}}", "shift_dates")
    assert check(load(moved.replace("undeclared:", "timestamp: drop\nundeclared:"))) == []
    for treatment in ("keep", "{truncate: {to: day}}"):
        (problem,) = check(load(moved.replace("undeclared:", f"timestamp: {treatment}\nundeclared:")))
        assert (problem.code, problem.path) == ("shift_shown", "timestamp")
    (nobody,) = check(
        load(moved.replace("undeclared:", "timestamp: drop\nundeclared:").replace("subject: id\n", ""))
    )
    assert "name the policy's 'subject'" in nobody.message


def test_vault_fields_of_one_element_agree(load) -> None:
    def found(one: str, two: str) -> list[str]:
        text = GOOD.replace("id: tokenize\n", f"id: {{vault: {one}, element: person}}\n", 1)
        text = text.replace("customer.name: encrypt", f"customer.name: {{vault: {two}, element: person}}")
        return [problem.code for problem in check(load(text))]

    assert found("{shape: same}", "{shape: same}") == []
    assert found("{shape: same}", "{shape: uuid}") == ["vault_options"]


def test_a_tagged_field_that_another_path_takes_in_has_two_treatments(load, tmp_path):
    def found(policy: str) -> list[tuple[str, str]]:
        names = {"type": "object", "additionalProperties": False}
        inner = names | {
            "properties": {"id": {"type": "string", "x-streamguard": "ID"}},
            "patternProperties": {"^x-": {"type": "string", "x-streamguard": "PII"}},
        }
        (tmp_path / "s.json").write_text(json.dumps(names | {"properties": {"m": inner}}))
        loaded = load("topic: orders\nkey: drop\nvalue: {schema: s.json}\n" + policy)
        return [(problem.code, problem.message) for problem in check(loaded)]

    tags = "tags: {PII: redact, ID: encrypt}\n"
    said = "which the schema tags '{}', and '{}' decide about the same values"
    assert found(tags) == [
        ("overlap", f"'m.*', {said.format('PII', 'm.id')}"),
        ("overlap", f"'m.id', {said.format('ID', 'm.*')}"),
    ]
    assert found(tags + "keep: [m.id]\n")[0] == ("overlap", f"'m.*', {said.format('PII', 'm.id')}")
    assert found('fields: {"m.*": encrypt}\n') == []


# -- policies side by side -------------------------------------------------------------------------------------------

SMALL = "topic: {topic}\nkey: keep\nvalue: {{schema: s.json}}\nfields: {{customer: drop, items: drop, extra: drop, tags: drop}}\n"
REST = "keep: [id, ts, vip, note, ip]\n"


def small(topic: str, more: str = "") -> str:
    return SMALL.format(topic=topic) + REST + more


def together(load, *texts: str) -> list[Problem]:
    return check_all([load(text, f"{name}.yaml") for name, text in zip("abc", texts, strict=False)])


def test_policies_that_get_along(load) -> None:
    assert together(load, small("one"), small("two"), small("three")) == []


def test_several_may_share_a_violations_topic(load) -> None:
    shared = "outputs: {violations: rejected}\n"
    assert together(load, small("one", shared), small("two", shared)) == []


def vault(topic: str, options: str) -> str:
    fields = f"id: {{vault: {options}, element: person}}"
    return small(topic).replace("customer: drop", f"{fields}, customer: drop").replace("[id, ts", "[ts")


def test_vaults_of_one_element_agree_in_all_policies(load) -> None:
    assert together(load, vault("one", "{ttl: 30d}"), vault("two", "{ttl: 30d}")) == []
    (problem,) = together(load, vault("one", "{ttl: 30d}"), vault("two", "{ttl: 31d}"))
    assert (problem.code, Path(problem.file).name, problem.path) == ("vault_options", "b.yaml", "fields.id")


@pytest.mark.parametrize(
    ("texts", "code", "file", "line", "message"),
    [
        ((small("one"), small("one", "outputs: {clean: x, violations: y}\n")), "same_topic", "b.yaml", 1, "a.yaml' consumes 'one' as well"),
        ((small("one"), small("two", "name: a\n")), "same_name", "b.yaml", 6, "a.yaml' is named 'a' as well"),
        ((small("one"), small("one.clean")), "topic_loop", "a.yaml", 1, "the output 'one.clean' is the input of"),
        ((small("one", "outputs: {violations: two}\n"), small("two")), "topic_loop", "a.yaml", 6, "the output 'two' is the input of"),
        ((small("one"), small("two", "outputs: {clean: one.violations}\n")), "same_output", "b.yaml", 6, "the clean records would go to 'one.violations'"),
        ((small("one", "outputs: {clean: two.violations}\n"), small("two")), "same_output", "b.yaml", 1, "the violations records would go to 'two.violations'"),
    ],
)  # fmt: skip
def test_policies_that_do_not(
    load, texts: tuple[str, ...], code: str, file: str, line: int, message: str
) -> None:
    (problem,) = together(load, *texts)
    assert (problem.code, Path(problem.file).name, problem.line) == (code, file, line)
    assert message in problem.message
    assert problem.suggestion


# -- in a service ----------------------------------------------------------------------------------------------------


@pytest.fixture
def in_service(load, tmp_path: Path):
    def look(text: str, *policies: str) -> list[Problem]:
        path = tmp_path / "streamguard.yaml"
        path.write_text("kafka:\n  bootstrap.servers: localhost:9092\n" + text)
        return list(service_problems(read_service(path, {}), [load(policy) for policy in policies]))

    return look


def test_a_service_with_its_key(in_service, tmp_path: Path) -> None:
    write_file(tmp_path / "master.key", generate())
    assert in_service("keys: {file: master.key}\n", small("one")) == []


def test_a_missing_key_file(in_service) -> None:
    (problem,) = in_service("keys:\n  file: master.key\n")
    assert (problem.code, problem.line) == ("missing_key", 3)
    assert "There is no master key file" in problem.message
    assert "streamguard keys init --file" in problem.suggestion


def test_a_key_file_that_others_may_read(in_service, tmp_path: Path) -> None:
    write_file(tmp_path / "master.key", generate())
    (tmp_path / "master.key").chmod(0o644)
    (problem,) = in_service("keys: {file: master.key}\n")
    assert problem.code == "missing_key"
    assert "chmod 600" in problem.suggestion


def test_a_key_in_the_environment(in_service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SG_TEST_KEY", raising=False)
    (problem,) = in_service("keys: {env: SG_TEST_KEY}\n")
    assert problem.message == "The environment variable SG_TEST_KEY holds no master key"
    monkeypatch.setenv("SG_TEST_KEY", format_line(generate()))
    assert in_service("keys: {env: SG_TEST_KEY}\n") == []


def test_a_commit_interval_beyond_a_third_of_the_transaction(in_service, tmp_path: Path) -> None:
    write_file(tmp_path / "master.key", generate())
    service = "keys: {file: master.key}\ntransaction_timeout_ms: 6000\n"
    assert in_service(service, small("one", "commit_interval_ms: 2000\n")) == []
    (problem,) = in_service(service, small("one", "commit_interval_ms: 2001\n"))
    assert (problem.code, problem.line, Path(problem.file).name) == ("commit_interval", 6, "orders.yaml")
    assert problem.suggestion == "write at most 2000, or raise transaction_timeout_ms"
    assert in_service(service, small("one", "commit_interval_ms: 2001\ndelivery: at_least_once\n")) == []


def test_certificates_that_do_not_exist(in_service, tmp_path: Path) -> None:
    write_file(tmp_path / "master.key", generate())
    text = "  security.protocol: SSL\n  ssl.ca.location: nowhere.pem\nkeys: {file: master.key}\n"
    (problem,) = in_service(text)
    assert (problem.code, problem.line) == ("missing_file", 4)
