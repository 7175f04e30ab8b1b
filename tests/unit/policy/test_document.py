"""YAML 1.2 with places: what is read, what is refused, and where."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import ConfigError
from streamguard.policy.document import MAX_VALUES, Document, Span, read_document, shown
from streamguard.policy.problems import Problem, ProblemsError


def problem_of(text: str) -> Problem:
    with pytest.raises(ProblemsError) as caught:
        Document("file.yaml", text)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


def test_words_stay_words_and_dates_stay_text() -> None:
    text = "a: off\nb: on\nc: no\nd: yes\ne: 2026-01-31\nf: 2026-01-31T12:00:00Z\ng: 1:30\n"
    assert Document("f", text).data == {
        "a": "off", "b": "on", "c": "no", "d": "yes", "e": "2026-01-31", "f": "2026-01-31T12:00:00Z", "g": "1:30",
    }  # fmt: skip


def test_numbers_booleans_and_null_are_values() -> None:
    data = Document("f", "a: 12\nb: 1.5\nc: true\nd: ~\ne: null\nf: '12'\ng: 0x10\nh:\n").data
    assert data == {"a": 12, "b": 1.5, "c": True, "d": None, "e": None, "f": "12", "g": 16, "h": None}


def test_keys_are_text_as_they_are_written() -> None:
    assert list(Document("f", "1.10: a\nnull: b\ntrue: c\n2: d\n").data) == ["1.10", "null", "true", "2"]


def test_anchors_aliases_and_merge_keys() -> None:
    text = "one: &one {a: 1, b: {c: 2}}\ntwo: {<<: *one, a: 3}\nthree: [*one]\n'<<': 4\n"
    assert Document("f", text).data == {
        "one": {"a": 1, "b": {"c": 2}}, "two": {"a": 3, "b": {"c": 2}}, "three": [{"a": 1, "b": {"c": 2}}], "<<": 4,
    }  # fmt: skip


def test_among_merged_mappings_the_first_wins() -> None:
    text = "one: &one {a: 1}\ntwo: &two {a: 2, b: 2}\nthree: {<<: [*one, *two]}\n"
    assert Document("f", text).data["three"] == {"a": 1, "b": 2}


def test_the_place_of_a_merged_value_is_where_it_is_written() -> None:
    document = Document("f", "one: &one\n  a: 1\ntwo:\n  <<: *one\n  b: 2\n")
    assert document.span(("two", "a")) == Span(2, 6, 1)


def test_spans_of_keys_values_and_what_is_not_there() -> None:
    document = Document("f", "fields:\n  a.b: {mask: {keep_last: 4}}\nkeep: [x, yy]\n")
    assert document.span(("fields", "a.b"), "key") == Span(2, 3, 3)
    assert document.span(("fields", "a.b")) == Span(2, 8, 22)
    assert document.span(("fields", "a.b", "mask", "keep_last")) == Span(2, 27, 1)
    assert document.span(("keep", 1)) == Span(3, 11, 2)
    assert document.span(("fields",)) == Span(1, 1, 6), "a block is shown by its key"
    assert document.span(("fields", "nowhere", "deeper")) == Span(1, 1, 6), "the nearest that exists"
    assert document.has(("keep", 1))
    assert not document.has(("keep", 2))


@pytest.mark.parametrize(
    ("text", "line", "column", "code", "suggestion"),
    [
        ("a: 1\na: 2\n", 2, 1, "duplicate_key", "remove one of the two"),
        ("b: {c: 1, 'c': 2}\n", 1, 11, "duplicate_key", "remove one of the two"),
        ("keep: [a, items[*].sku]\n", 1, 11, "quote_path", 'quote this path: "items[*].sku"'),
        ("keep: [a,\n  items[*].sku,\n  b]\n", 2, 3, "quote_path", 'quote this path: "items[*].sku"'),
        ("fields:\n  *.y: redact\n", 2, 3, "quote_path", 'quote this path: "*.y"'),
        ("fields: {a[*].b: redact}\n", 1, 10, "quote_path", 'quote this path: "a[*].b"'),
        ("keep:\n - *\n", 2, 4, "quote_path", 'quote this path: "*"'),
        ("keep: [*ts]\n", 1, 8, "syntax", "quote the text"),
        ("a:\n\t- b\n", 2, 1, "syntax", "indent with spaces"),
        ("a: b: c\n", 1, 5, "syntax", "quote a text with ': '"),
        ("a: @b\n", 1, 4, "syntax", "quote the text"),
        ("a: [1, 2\nb: c\n", 2, 2, "syntax", "check the brackets above"),
        ("a: {b: c\nd: e\n", 2, 2, "syntax", "check the braces above"),
        ("a: 'it's'\n", 1, 8, "syntax", "check the indentation and the quotes"),
        ("a: 'x\n", 2, 1, "syntax", "close the quote"),
        ("a: 1\n---\nb: 2\n", 2, 1, "syntax", "one file, one document"),
        ("a: \x07\n", 1, 4, "syntax", "remove it"),
        ("%YAML 1.1\n---\na: off\n", 1, 1, "syntax", "remove the directive"),
        ("a: !secret b\n", 1, 4, "syntax", "write the plain value"),
        ("a: !!int b\n", 1, 4, "syntax", "quote it"),
        ("a: !!int\n", 1, 4, "syntax", "quote it"),
        ("a: !!bool perhaps\n", 1, 4, "syntax", "quote it"),
        ("? [a]\n: b\n", 1, 3, "syntax", "quote it"),
        ("- &a [*a]\n", 1, 3, "syntax", "write the value out"),
        ("a: &a [1]\nb: {<<: *a}\n", 2, 5, "syntax", "write '<<: *name' of a mapping"),
        ("[" * 3000, 1, 1, "syntax", ""),
    ],
)
def test_what_is_refused(text: str, line: int, column: int, code: str, suggestion: str) -> None:
    problem = problem_of(text)
    assert (problem.line, problem.column, problem.code, problem.suggestion) == (
        line,
        column,
        code,
        suggestion,
    )


PIECES = [
    "{", "}", "[", "]", ":", ": ", ",", " ", "\n", "- ", "*", "&a", "*a", "<<", "null", "true", "1", "1.5",
    '"', "'", "#", "|", ">", "? ", "---\n", "...\n", "%TAG ! x\n", "!!int ", "!!bool ", "!!set ", "!x ",
    "\\", "~", "\t", "\x00", "%", "@", "é", "\u2028", "\ufeff", "a", "keep: ", "items[*]",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join) | st.text(max_size=30))
def test_no_text_fails_in_any_other_way(text: str) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        Document("file.yaml", text)
    except ProblemsError as error:
        problems = error.problems
    assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)


def test_a_path_in_quotes_or_in_a_block_needs_no_advice() -> None:
    assert Document("f", 'keep: ["items[*].sku", labels.*]\n').data == {"keep": ["items[*].sku", "labels.*"]}
    assert Document("f", "fields:\n  items[*].note: redact\n").data == {"fields": {"items[*].note": "redact"}}


def test_aliases_of_aliases_do_not_explode() -> None:
    tens = "\n".join(
        f"{name}: &{name} [{','.join([f'*{last}'] * 10)}]"
        for last, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    problem = problem_of(f"a: &a [1]\n{tens}\n")
    assert "too many values" in problem.message
    assert MAX_VALUES < 10**8


def test_every_duplicate_is_reported() -> None:
    with pytest.raises(ProblemsError) as caught:
        Document("file.yaml", "a: 1\na: 2\nb: {c: 1, c: 2}\n")
    assert [problem.line for problem in caught.value.problems] == [2, 3]
    assert "file.yaml has 2 problems" in caught.value.message


def test_the_line_is_quoted_and_control_characters_are_not() -> None:
    assert problem_of("a: 1\na: 2 # again\n").source == "a: 2 # again"
    assert problem_of("a: \x1b[31m\n").source == "a: �[31m"


def test_a_line_with_a_secret_is_never_quoted() -> None:
    document = Document("f", "password: hunter2\nname: x\n", secret=lambda place: place == ("password",))
    assert document.problem(("password",), "m", code="c").source == ""
    assert document.problem(("name",), "m", code="c").source == "name: x"
    with pytest.raises(ProblemsError) as caught:
        Document("f", "password: @hunter2\n", secret=lambda place: place == ("password",))
    assert caught.value.problems[0].source == ""
    assert "hunter2" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_document(tmp_path / "none.yaml", what="policy")
    with pytest.raises(ConfigError, match="is a folder"):
        read_document(tmp_path, what="policy")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_document(tmp_path / "latin.yaml", what="policy")
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_document(tmp_path / "bom.yaml", what="policy").data == {"a": 1}


def test_places_as_people_read_them() -> None:
    assert shown(("fields", "customer.ssn", "mask", "keep_last")) == "fields.'customer.ssn'.mask.keep_last"
    assert shown(("keep", 2)) == "keep[2]"
