"""YAML as we write it reads back as the same data, whatever names and texts it holds."""

from hypothesis import example, given
from hypothesis import strategies as st

from streamguard.draft import yamltext
from streamguard.policy.document import Document

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
    | TEXTS
)
DATA = st.dictionaries(
    TEXTS,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=12,
    ),
    min_size=1,
    max_size=5,
)


@given(DATA)
@example(
    {"<<": {"a": 1}, "null": "null", "y": "no", "a: b": "# c", "- d": "[e", "*f": "&g", "1.0": "1.0", "": ""}
)
@example(
    {"a\nb": "c\u2028d\x85e\ufeff\x00\x1b😀", "k" * 1500: {"x": ["y" * 2000]}, "items[*].x": "items[*].x"}
)
@example({"a": [[1, [2]], {"b": [{"c": {}}]}, []]})
def test_a_block_reads_back(data):
    assert Document("x.yaml", "\n".join(yamltext.block(data, 0))).data == data


@given(DATA)
def test_a_value_on_one_line_reads_back(data):
    assert Document("x.yaml", f"a: {yamltext.flow(data)}").data == {"a": data}


@given(TEXTS.filter(bool))
def test_paths_read_back_as_keys_and_as_items(path):
    assert Document("x.yaml", f"{yamltext.key(path)} 1\n").data == {path: 1}
    assert Document("x.yaml", f"- {yamltext.path(path)}\n").data == [path]


def test_what_is_simple_is_not_quoted():
    assert yamltext.key("items[*].gift_note") == "items[*].gift_note:"
    assert yamltext.path("labels.*") == "labels.*"
    assert (
        yamltext.flow({"mask": {"keep_last": 4}, "text": "two words"})
        == "{mask: {keep_last: 4}, text: two words}"
    )
