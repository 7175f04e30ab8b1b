"""`streamguard erase`, and the commands of docs/erase.md: keys of persons go for good, and for good after a restore."""

import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamguard.cli import app
from streamguard.cli.erase import NOT_REACHED
from streamguard.crypto import erase as erasing
from streamguard.crypto.aead import open_token
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.local import LocalKms, generate, write_file
from streamguard.errors import ConfigError, KeyMissingError, UsageError
from streamguard.guard.guard import Guard
from streamguard.policy.loader import load_policy
from streamguard.store.erasures import Erasure
from streamguard.store.store import open_store
from tests.unit.guard.test_guard import process

PAGE = (Path(__file__).parents[3] / "docs" / "erase.md").read_text()
VISITS = """\
topic: visits
value: {schema: visit.json}
key: drop
subject: customer.id
fields:
  customer.id: {tokenize: {}, element: customer}
  customer.name: {encrypt: {per: subject}}
"""
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "customer": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"id": {"type": ["string", "integer"]}, "name": {"type": "string"}},
        }
    },
}


class Place:
    """A folder with a service that encrypts per subject, and what its guard makes of a person's record."""

    def __init__(self, folder):
        self.folder = folder
        self.master = generate()
        write_file(folder / "streamguard.key", self.master)
        (folder / "streamguard.yaml").write_text("kafka: {bootstrap.servers: 'localhost:9092'}\n")
        (folder / "policies").mkdir()
        (folder / "policies" / "visits.yaml").write_text(VISITS)
        (folder / "policies" / "visit.json").write_text(json.dumps(SCHEMA))
        self.open()

    def open(self):
        """As a process that starts now sees it."""
        self.keyring = Keyring(open_store(f"sqlite:///{self.folder}/streamguard.db"), LocalKms([self.master]))
        loaded = load_policy(self.folder / "policies" / "visits.yaml")
        self.guard = Guard(loaded.policy, loaded.schema, self.keyring)

    def name_of(self, person):
        batch = process(self.guard, {"customer": {"id": person, "name": f"Name of {person}"}})
        return json.loads(batch.out_values[0])["customer"]["name"]

    def opens(self, token):
        self.open()
        try:
            return open_token(token, self.keyring)
        except KeyMissingError:
            return None


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


def erase(*arguments, stdin=""):
    return CliRunner().invoke(app, ["erase", *arguments], input=stdin)


# -- persons ---------------------------------------------------------------------------------------------------------


def test_a_persons_values_are_gone_and_others_are_not(place):
    tokens = [place.name_of(person) for person in ("C1", "C2", 12)]
    done = erase("--yes", stdin="C1\n12\n")
    assert done.exit_code == 0
    assert [place.opens(token) for token in tokens] == [None, "Name of C2", None]
    assert "keys of 2 persons" in done.stdout
    assert "within 60 seconds" in done.stdout
    assert all(f"- {what}" in done.stdout for what in NOT_REACHED)
    assert "C1" not in done.output


def test_for_machines(place):
    place.name_of("C1")
    place.name_of("C2")
    erase("C2", "--yes")
    done = erase("--yes", "--json", stdin="C1\r\nC2\n\nC3\n")
    assert done.exit_code == 1  # there is no C3
    found = json.loads(done.stdout)
    assert found == {
        "persons": 3,
        "elements": ["customer"],
        "destroyed": 1,
        "erased_before": 1,
        "unknown": [3],
        "still_in_memory_for_at_most_seconds": 60,
        "not_reached": list(NOT_REACHED),
    }


def test_a_person_who_comes_back_has_another_key(place):
    old = place.name_of("C1")
    assert erase("C1", "--yes").exit_code == 0
    place.open()
    new = place.name_of("C1")
    assert (place.opens(old), place.opens(new)) == (None, "Name of C1")
    assert erase("C1", "--yes").exit_code == 0
    assert place.opens(new) is None


def test_persons_under_an_older_version_of_the_references_key_are_found(place):
    token = place.name_of("C1")
    place.keyring.rotate("subject:customer")
    assert erase("C1", "--yes").exit_code == 0
    assert place.opens(token) is None


def test_an_element_can_be_named(place):
    token = place.name_of("C1")
    (place.folder / "policies" / "visits.yaml").write_text(
        VISITS.replace("{encrypt: {per: subject}}", "drop")
    )
    assert "No policy of this service encrypts per subject" in str(erase("C1", "--yes").exception)
    done = erase("C1", "--yes", "--element", "customer")
    assert done.exit_code == 0
    place.open()
    with pytest.raises(KeyMissingError):
        open_token(token, place.keyring)


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (["C1"], "", "Nobody is here to be asked"),
        (["--yes"], "", "Nobody is named"),
        (["--reapply", "--export"], "", "about the list"),
        (["C1", "--reapply"], "", "about the list"),
        (["C1", "--yes", "-c", "none.yaml"], "", ""),
    ],
)
def test_wrong_use(place, arguments, stdin, said):
    done = erase(*arguments, stdin=stdin)
    assert isinstance(done.exception, UsageError | ConfigError)
    assert said in str(done.exception)


def test_no_store_is_made_for_it(place):
    for file in place.folder.glob("streamguard.db*"):
        file.unlink()
    assert isinstance(erase("C1", "--yes").exception, ConfigError)
    assert not list(place.folder.glob("streamguard.db*"))


# -- the list --------------------------------------------------------------------------------------------------------


def test_a_restored_store_is_erased_again_and_who_came_back_stays(place):
    tokens = {person: place.name_of(person) for person in ("C1", "C2", "C3")}
    place.keyring.store.close()
    shutil.copy("streamguard.db", "backup.db")
    assert erase("C1", "C2", "--yes").exit_code == 0
    exported = erase("--export")
    assert exported.exit_code == 0
    assert len(exported.stdout.splitlines()) == 2
    assert not re.search("C[123]", exported.stdout)

    for file in place.folder.glob("streamguard.db*"):
        file.unlink()
    shutil.copy("backup.db", "streamguard.db")
    assert place.opens(tokens["C1"]) == "Name of C1"
    done = erase("--reapply", "--json", stdin=exported.stdout)
    assert json.loads(done.stdout) == {"listed": 2, "destroyed": 2}
    assert [place.opens(token) for token in tokens.values()] == [None, None, "Name of C3"]

    back = place.name_of("C1")
    assert json.loads(erase("--reapply", "--json", stdin=exported.stdout).stdout)["destroyed"] == 0
    assert place.opens(back) == "Name of C1"


def test_an_erasure_that_was_cut_short_is_finished(place):
    token = place.name_of("C1")
    references = place.keyring.subjects.references("customer", "C1")
    place.keyring.store.erasures.request(
        Erasure(reference, datetime.now(UTC), "ada") for reference in references
    )
    assert "1 of 1 key" in erase("--reapply").stdout
    assert place.opens(token) is None
    assert all(one.completed_at for one in place.keyring.store.erasures.all())


def test_the_list_reads_as_it_is_written():
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    listed = [Erasure(b"\x01" * 32, now, "ada"), Erasure(b"\x02" * 32, now + timedelta(microseconds=1), "é")]
    assert erasing.read(erasing.written(listed).splitlines()) == listed


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b'{"reference":"x","requested_at":"2026-03-01T00:00:00Z","by_whom":"ada"}',
        b'{"reference":"00","requested_at":"2026-03-01T00:00:00","by_whom":"ada"}',
        b'{"reference":"00","requested_at":"soon","by_whom":"ada"}',
        b'{"reference":0,"requested_at":"2026-03-01T00:00:00Z","by_whom":"ada"}',
    ],
)
def test_what_is_no_list_is_refused(line):
    with pytest.raises(ConfigError, match="Line 1"):
        erasing.read([line])


# -- docs/erase.md ---------------------------------------------------------------------------------------------------


def test_every_command_of_the_page_in_order(place, shell, tmp_path):
    token = place.name_of("C1")
    again, for_machines, export, reapply = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "persons.txt").write_text("C1\n")
    assert "keys of 1 person." in shell(again)
    assert place.opens(token) is None
    assert json.loads(shell(for_machines))["erased_before"] == 1
    shell(export)
    assert len((tmp_path / "erasures.ndjson").read_text().splitlines()) == 1
    assert "0 of 1 key" in shell(reapply)
