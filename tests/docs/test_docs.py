"""README and docs/ say what is true: commands and examples are run, names exist, links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from ruamel.yaml import YAML

from streamguard.crypto.keyring import Keyring
from streamguard.formats.protobuf import ProtobufForm
from streamguard.guard.batch import Batch
from streamguard.guard.check import check
from streamguard.guard.fields import build
from streamguard.guard.guard import Guard
from streamguard.policy.loader import load_policy
from streamguard.policy.models import Policy, Rule
from streamguard.policy.problems import errors
from streamguard.policy.service import load_service
from streamguard.transforms.register import register
from tests.docs import commands, vocabulary
from tests.docs.pages import DOCS, ROOT, Block, Page, page, pages
from tests.docs.session import Session, typed, unwritten
from tests.servers import Broker

BLOCKS: Final = [block for each in pages() for block in each.blocks]

ELSEWHERE: Final = {
    ("docs/avro.md", "json after"): "tests/unit/formats/test_avro_page.py",
    ("docs/avro.md", "json before"): "tests/unit/formats/test_avro_page.py",
    ("docs/erase.md", "sh"): "tests/unit/cli/test_erase.py",
    ("docs/key-services.md", "hcl"): "tests/integration/test_key_services.py",
    ("docs/key-services.md", "sh"): "tests/integration/test_key_services.py",
    ("docs/keys.md", "sh"): "tests/unit/cli/test_keys_page.py",
    ("docs/keys.md", "yaml"): "tests/unit/cli/test_keys_page.py",
    ("docs/policy.md", "text"): "tests/unit/guard/test_policy_page.py",
    ("docs/policy.md", "yaml test"): "tests/unit/guard/test_policy_page.py",
    ("docs/store.md", "sh"): "tests/integration/test_store_page.py",
    ("docs/store.md", "sql"): "tests/integration/test_store_page.py",
    ("docs/transforms.md", "toml"): "tests/unit/transforms/test_documentation.py",
    ("docs/transforms.md", "python"): "tests/unit/transforms/test_documentation.py",
    ("docs/wire-format.md", ""): "tests/unit/crypto/test_wire_format_page.py",
}
"""Blocks that the tests of what they describe run themselves."""


def yaml(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(StringIO(text))


# -- blocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_says_what_is_true(block: Block, tmp_path: Path):
    elsewhere = ELSEWHERE.get((block.page, block.kind))
    if elsewhere is not None:
        assert Path(block.page).name in (ROOT / elsewhere).read_text(encoding="utf-8")
    else:
        assert block.kind in CHECKS, f"nothing tests blocks of the kind '{block.kind}'"
        CHECKS[block.kind](block, tmp_path)


def check_policy(block: Block, folder: Path) -> None:
    """A policy passes `check`, with the example schemas where a policy looks for them."""
    (folder / "schemas").symlink_to(ROOT / "schemas")
    file = folder / "policy.yaml"
    file.write_text(block.text)
    assert errors(check(load_policy(file))) == []


def check_fragment(block: Block, _: Path) -> None:
    """A piece of a policy fits into one."""
    policy = Policy.model_validate({"name": "example", "topic": "example", "key": "drop", **yaml(block.text)})
    for path, rule in policy.fields.items():
        build(policy, rule, path, Keyring.in_memory())


def check_service(block: Block, folder: Path) -> None:
    """A piece of a service file fits into one."""
    file = folder / "streamguard.yaml"
    YAML().dump({"kafka": {"bootstrap.servers": "localhost:9092"}, **yaml(block.text)}, file)
    load_service(file, dict.fromkeys(re.findall(r"\$\{(\w+)", block.text), "x"))


def check_json(block: Block, _: Path) -> None:
    orjson.loads(block.text)


def check_python(block: Block, folder: Path) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", block.text], cwd=folder, check=True)


def check_violation(block: Block, _: Path) -> None:
    """A violation as the guard writes it, from a record with the errors that are shown."""
    shown = json.loads(block.text)
    loaded = load_policy(ROOT / "policies" / "orders.yaml")
    guard = Guard(loaded.policy, loaded.schema, Keyring.in_memory())
    order = {
        "event_id": "0b4f2c1e-5a51-4c53-9d55-0d6f9b8c2a11",
        "ts": 1769862896000,
        "type": "order.placed",
        "customer": {"id": "C00000042", "email": "ana@example.com", "nickname": "Ana"},
        "payment": {"amount": 10, "currency": "EUR"},
        "items": [{"sku": "TEA-100", "qty": "two", "price": 10}],
    }
    source = shown["source"]
    batch = Batch(
        source["topic"],
        [orjson.dumps(order)],
        partitions=[source["partition"]],
        offsets=[source["offset"]],
        timestamps=[source["timestamp"]],
    )
    guard.process(batch)
    violation = guard.explain(batch, 0)
    assert_like(json.loads(violation.body), shown)
    described = {name for row in page(block.page).rows for name in re.findall(r"`([\w.-]+)`", row[0])}
    assert {name for name, _ in violation.headers} | shown.keys() <= described


def assert_like(found: Any, shown: Any) -> None:
    """Equal, where ``…`` in a text stands for anything."""
    if isinstance(shown, dict):
        assert found.keys() == shown.keys()
        for name, value in shown.items():
            assert_like(found[name], value)
    elif isinstance(shown, list):
        assert len(found) == len(shown)
        for one, other in zip(found, shown, strict=True):
            assert_like(one, other)
    elif isinstance(shown, str):
        assert re.fullmatch(re.escape(shown).replace("…", ".+"), found)
    else:
        assert found == shown


# -- commands --------------------------------------------------------------------------------------------------------

SESSIONS: Final = {
    each.name: [block for block in each.blocks if block.kind in ("console", "console kafka")]
    for each in pages()
}


def sessions(*, on_kafka: bool) -> pytest.MarkDecorator:
    """A parameter `blocks`: what is typed on each page, with or without a broker."""
    found = [
        blocks
        for blocks in SESSIONS.values()
        if blocks and any("kafka" in block.tags for block in blocks) == on_kafka
    ]
    return pytest.mark.parametrize("blocks", found, ids=lambda blocks: blocks[0].page)


BEFORE: Final = {
    "README.md": """\
$ export KAFKA_BOOTSTRAP=$(scripts/kafka start)
$ for topic in orders payments encounters; do scripts/kafka-tool topics --create --topic $topic; done
$ echo '{"event_id": 7}' | scripts/kafka-tool produce --topic orders
$ streamguard keys init
""",
    "docs/runbooks.md": """\
$ streamguard keys init
$ python -c 'from streamguard.demo.sample import Orders; print(next(iter(Orders(faults=0))).value.decode())' > o.ndjson
$ streamguard filter policies/orders.yaml o.ndjson > clean.ndjson
$ streamguard reveal --ndjson < clean.ndjson > /dev/null
$ streamguard erase --export > erasures.ndjson
$ cp streamguard.db backup.db
""",
}
"""What a page takes for granted."""


def run_session(session: Session, blocks: list[Block]) -> None:
    name = blocks[0].page
    with session:
        for block in [Block(name, 0, "console", (), BEFORE.get(name, "")), *blocks]:
            for command in typed(block):
                session.type(command)


@sessions(on_kafka=False)
@pytest.mark.long
@pytest.mark.timeout(300)
def test_commands_do_what_their_page_shows(blocks: list[Block], tmp_path: Path):
    run_session(Session(tmp_path / "streamguard"), blocks)


@sessions(on_kafka=True)
@pytest.mark.long
@pytest.mark.timeout(300)
def test_commands_on_kafka_do_what_their_page_shows(
    blocks: list[Block], tmp_path: Path, start_broker: Callable[[], Broker]
):
    # The page starts a broker itself, and finds this one running, which is removed afterwards.
    broker = start_broker()
    run_session(Session(tmp_path / "streamguard", {"STREAMGUARD_KAFKA_NAME": broker.name}), blocks)


COMPOSE: Final = yaml((ROOT / "docker-compose.yml").read_text())


def check_docker(block: Block, _: Path) -> None:
    """There is no container engine here: commands are held against docker-compose.yml and the parser of ours."""
    for each in typed(block):
        words = shlex.split(each.text, comments=True)
        assert words[:2] == ["docker", "compose"], each
        check_compose(*words[2:])


def check_compose(verb: str, *words: str) -> None:
    names = [word for word in words if not word.startswith("-")]
    if verb == "exec":
        service, program, *arguments = words[words.index(names[0]) :]
        assert service in COMPOSE["services"]
        if program == "streamguard":
            commands.parse(arguments)
        else:
            assert re.fullmatch(r"/opt/kafka/bin/kafka-[a-z-]+\.sh", program)
            assert "kafka:19092" in arguments
    else:
        assert verb in {"up", "down", "logs", "ps"}
        assert set(names) <= set(COMPOSE["services"])


def check_console(block: Block, _: Path) -> None:
    """What is typed is run by the tests of sessions, page by page."""
    assert block in SESSIONS[block.page]


def check_proto(block: Block, _: Path) -> None:
    """What is in a .proto file is compiled."""
    assert ProtobufForm(f'syntax = "proto3";\n{block.text}').leaves


CHECKS: Final[dict[str, Callable[[Block, Path], None]]] = {
    "console": check_console,
    "console kafka": check_console,
    "console docker": check_docker,
    "json": check_json,
    "json violation": check_violation,
    "proto": check_proto,
    "python": check_python,
    "yaml fragment": check_fragment,
    "yaml policy": check_policy,
    "yaml service": check_service,
}


# -- help texts ------------------------------------------------------------------------------------------------------

EXAMPLES: Final = [
    (words, example)
    for words, command in commands.commands().items()
    for example in commands.examples(command)
]
ON_KAFKA: Final = ("topics create", "topics show", "init", "run", "control", "violations")
"""Commands that speak to a broker, in an order in which they make sense."""

# What the examples take for granted: a service file and orders; one master key in both places; tokens.
ORDERS_FILE: Final = """\
$ python -c 'from itertools import islice; from streamguard.demo.sample import Orders; \\
print(*(order.value.decode() for order in islice(Orders(faults=0), 50)), sep="\\n")' > orders.ndjson
"""
ORDERS: Final = (
    "$ echo 'kafka: {bootstrap.servers: localhost:9092}' | tee prod.yaml > streamguard.yaml\n" + ORDERS_FILE
)
KEYS: Final = """\
$ cat streamguard.key keys/master.key > both; cp both streamguard.key; mv both keys/master.key; chmod 600 *.key keys/*
"""
ACCESS: Final = """\
$ echo 'permit (principal, action, resource);' > roles.cedar
$ echo 'tokens:' > tokens.yaml
$ echo 'access: {policies: roles.cedar, tokens: tokens.yaml}' >> streamguard.yaml
"""
TOKENS: Final = """\
$ grep --only-matching 'sg1[.]e[.][A-Za-z0-9_.-]*' clean.ndjson > tokens.txt
"""
PERSONS: Final = """\
$ cat > policies/people.yaml <<'END'
topic: people
key: drop
subject: id
fields: {id: tokenize, name: {encrypt: {per: subject}}}
END
$ echo '{"id": "C1", "name": "Ana"}' | streamguard filter policies/people.yaml > /dev/null; echo C1 > persons.txt
"""


def examples_of(*names: str) -> list[str]:
    return [example for name in names for words, example in EXAMPLES if f"{words} ".startswith(f"{name} ")]


def type_lines(session: Session, lines: str) -> None:
    for each in typed(Block("the examples' preparation", 0, "console", (), lines)):
        session.type(each)


def as_here(example: str, folder: Path) -> str:
    """An example without the programs of others, and with a token of this place."""
    ours = re.sub(r" \| jq .*", "", re.sub(r"^kcat [^|]*", "cat orders.ndjson ", example))
    if "b64..." in ours:
        token = (folder / "tokens.txt").read_text().split()[0]
        ours = re.sub(r"sg1\.\S+\.b64\.\.\.", token, ours)
    return ours


@pytest.mark.long
@pytest.mark.timeout(300)
def test_examples_of_help_texts_run(tmp_path: Path):
    folder = tmp_path / "streamguard"
    with Session(folder) as session:
        type_lines(session, ORDERS)
        for name in (
            "keys init",
            KEYS,
            "schema",
            "check",
            "test",
            "filter",
            TOKENS,
            "keys list",
            "store upgrade",
            "store status",
            "reveal",
            "audit",
            PERSONS,
            "erase",
            "keys rotate",
            "keys rewrap",
            "keys destroy",
            ACCESS,
            "access",
            "api",
            "demo",
        ):
            if name.startswith("$"):
                type_lines(session, name)
            for example in examples_of(name):
                session.type(unwritten(as_here(example, folder)))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_examples_of_help_texts_run_on_kafka(tmp_path: Path, start_broker: Callable[[], Broker]):
    broker = start_broker()
    folder = tmp_path / "streamguard"
    with Session(folder, {"STREAMGUARD_KAFKA_NAME": broker.name}) as session:
        type_lines(session, BEFORE["README.md"] + ORDERS_FILE + "$ cp streamguard.yaml prod.yaml\n")
        for example in examples_of(*ON_KAFKA):
            shown = ("… orders/…",) if example.endswith("tail -f") else ()
            session.type(unwritten(as_here(example, folder), *shown))
            session.interrupt()


def test_no_example_is_left_out():
    names = (
        "keys init",
        "schema",
        "check",
        "test",
        "filter",
        "keys list",
        "keys rotate",
        "keys rewrap",
        "keys destroy",
        "store",
        "reveal",
        "audit",
        "erase",
        "access",
        "api",
        "demo",
        *ON_KAFKA,
    )
    assert sorted(examples_of(*names)) == sorted(example for _, example in EXAMPLES)


def test_every_command_has_examples_that_parse():
    with_examples = {words for words, _ in EXAMPLES}
    assert with_examples == set(commands.commands())
    for _, example in EXAMPLES:
        line = re.search(r"streamguard ([^|<>]*)", example)
        assert line
        commands.parse(shlex.split(line[1]))


def test_the_page_of_commands_is_that_of_the_code():
    assert commands.PAGE.read_text(encoding="utf-8") == commands.page(), "run: python -m tests.docs.commands"


# -- names -----------------------------------------------------------------------------------------------------------


def test_every_violation_code_is_on_its_page():
    violations = page("docs/violations.md")
    rows = re.findall(r"^\| `([^`]+)` \| .+ \| .+ \|$", violations.text, re.MULTILINE)
    listed = [code for code in rows if code.startswith(vocabulary.STAGES) and "." in code]
    assert sorted(listed) == sorted(vocabulary.codes())
    assert vocabulary.computed_codes() == {"schema.", "quality.", "transform.", "inspect."}


@pytest.mark.parametrize("each", pages(), ids=lambda each: each.name)
def test_every_violation_code_that_is_mentioned_exists(each: Page):
    for text in each.code:
        if vocabulary.is_code(text) and not text.startswith("quality."):
            known = text in vocabulary.codes() or text == "schema.contains"
            assert known, f"{each.name}: {text}"


def test_every_metric_is_described():
    text = "".join(each.text for each in pages())
    missing = [name for name in vocabulary.metric_names() if f"`{name}`" not in text]
    assert not missing


@pytest.mark.parametrize("each", pages(), ids=lambda each: each.name)
def test_every_metric_that_is_mentioned_exists(each: Page):
    known = set().union(*vocabulary.metric_names().values())
    assert set(re.findall(r"\bstreamguard_[a-z_]+[a-z]\b", each.text)) <= known


@pytest.mark.parametrize("each", pages(), ids=lambda each: each.name)
def test_every_command_that_is_mentioned_exists(each: Page):
    for text in each.code:
        if text.startswith("streamguard "):
            command, rest = commands.find(text.split()[1:])
            assert not (rest and hasattr(command, "commands") and rest[0].isalpha()), f"{each.name}: {text}"
            named = {word.split("=")[0] for word in rest if word.startswith("-")}
            assert named <= commands.spellings(command), f"{each.name}: {text}"


@pytest.mark.parametrize("each", pages(), ids=lambda each: each.name)
def test_every_option_that_is_mentioned_exists(each: Page):
    known = set().union(*map(commands.spellings, commands.commands().values()))
    scripts = "".join(file.read_text() for file in (ROOT / "scripts").iterdir() if file.is_file())
    for text in each.code:
        if text.startswith("--"):
            name = re.split(r"[ =]", text)[0]
            assert name in known or re.search(rf"{name}\b", scripts), f"{each.name}: {text}"


@pytest.mark.parametrize("each", pages(), ids=lambda each: each.name)
def test_every_transform_that_is_mentioned_takes_its_options(each: Page):
    policy = Policy.model_validate({"name": "example", "topic": "example", "key": "drop"})
    for rule in rules(each):
        build(policy, rule, "field", Keyring.in_memory())


def rules(each: Page) -> Iterator[Rule]:
    """What stands between back-ticks and is a verb with options."""
    verbs = "|".join(register())
    for text in each.code:
        if re.fullmatch(rf"\{{?({verbs}): \{{.*\}}.*", text):
            yield Rule.model_validate(yaml(text))


def test_every_environment_variable_that_is_mentioned_is_read():
    code = "".join(
        file.read_text(encoding="utf-8")
        for folder in ("streamguard", "scripts", "tests", "benchmarks")
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and file.suffix in ("", ".py") and "docs" not in file.relative_to(ROOT).parts
    )
    free = {"STREAMGUARD_MASTER_KEY"}  # a name that the reader gives
    for each in pages():
        for name in set(re.findall(r"\bSTREAMGUARD_[A-Z_]+\b", each.text)) - free:
            assert name in code, f"{each.name}: {name}"


# -- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", pages(), ids=lambda each: each.name)
def test_links_lead_somewhere(each: Page):
    for link in each.links:
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        file = (each.path.parent / target).resolve() if target else each.path
        assert file.exists(), f"{each.name}: {link}"
        assert ROOT in [file, *file.parents], f"{each.name}: {link}"
        if anchor:
            assert anchor in page(str(file.relative_to(ROOT))).anchors, f"{each.name}: {link}"


def test_every_page_can_be_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        file = waiting.pop()
        if file in reached:
            continue
        reached.add(file)
        if file.is_dir():
            waiting += file.glob("*.md")
        elif file.suffix == ".md":
            links = page(str(file.relative_to(ROOT))).links
            waiting += [
                (file.parent / link.partition("#")[0]).resolve() for link in links if "://" not in link
            ]
    assert set(DOCS.rglob("*.md")) <= reached


def test_decisions_are_numbered_and_of_one_form():
    decisions = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    index = list(page("docs/decisions/README.md").links)
    assert index == [file.name for file in decisions]
    assert len({file.name[:4] for file in decisions}) == len(decisions)
    for file in decisions:
        assert re.fullmatch(r"[0-9]{4}-[a-z0-9-]+\.md", file.name)
        text = file.read_text(encoding="utf-8")
        assert re.match(rf"# {int(file.name[:4])}\. .+\n", text), file.name
        assert len(text.splitlines()) <= 70, f"{file.name} is more than a page"
