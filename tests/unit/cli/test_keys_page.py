"""The commands of docs/keys.md do what the page says."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from streamguard.crypto.keyring import DataKey, Keyring
from streamguard.crypto.kms.local import LocalKms, format_line
from streamguard.store.keys import KeyRow
from streamguard.store.store import open_store

PAGE = (Path(__file__).parents[3] / "docs" / "keys.md").read_text()
MASTER = bytes(range(32))
KEY = DataKey("K7dq2mXw0a", "email", bytes(range(32, 64)))  # of the worked example in docs/wire-format.md
TOKEN = "sg1.e.K7dq2mXw0a.QEFCQ0RFRkdISUpLOwB3Rj0I-JVXbLcGaAIYeUKSeQ"  # "12"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_every_command_in_order(shell, tmp_path):
    (service,) = blocks("yaml")
    init, listing, rotate, rewrap, destroy, reveal = blocks("sh")
    (tmp_path / "streamguard.yaml").write_text("kafka: {bootstrap.servers: 'localhost:9092'}\n" + service)

    shell(init)
    # A second master key in the file, which the page says is possible: that of the worked example.
    with (tmp_path / "keys" / "master.key").open("a") as file:
        file.write(format_line(MASTER) + "\n")
    wrapped = LocalKms([MASTER]).wrap(KEY.secret)
    row = KeyRow(KEY.id, KEY.element, "randomized", None, wrapped, "local:35cf2091cc89", datetime.now(UTC))
    assert open_store(f"sqlite:///{tmp_path}/streamguard.db").keys.add(row)

    table, documents = shell(listing.splitlines()[0]), json.loads(shell(listing.splitlines()[1]))
    assert KEY.id in table
    assert [(document["id"], document["element"]) for document in documents] == [(KEY.id, KEY.element)]

    masters = LocalKms.from_file(tmp_path / "keys" / "master.key")
    keyring = Keyring(open_store(f"sqlite:///{tmp_path}/streamguard.db"), masters)
    keyring.pinned("email")
    keyring.pinned("phone")
    assert "version 2" in shell(rotate)
    assert "Moved 0 keys" in shell(rewrap)
    assert "Destroyed 1 key" in shell(destroy)

    (tmp_path / "clean.ndjson").write_text(json.dumps({"a": [TOKEN]}) + "\n")
    (tmp_path / "tokens.txt").write_text(TOKEN + "\n")
    assert TOKEN in reveal
    by_token, in_place, from_file = reveal.splitlines()
    assert shell(by_token) == '"12"\n'
    shell(in_place)
    assert (tmp_path / "revealed.ndjson").read_text() == '{"a":["12"]}\n'
    assert json.loads(shell(from_file)) == {"type": "text", "value": "12"}
