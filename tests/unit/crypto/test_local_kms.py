"""Master keys in a file or a variable: who may read them, what is refused, and what they wrap."""

import os
import stat
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from streamguard.crypto.kms.local import (
    LocalKms,
    format_line,
    format_protected,
    generate,
    master_id,
    write_file,
)
from streamguard.errors import ConfigError, KeysUnavailableError

SECRET = bytes(range(32))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "keys" / "master.key"
    write_file(path, generate())
    return path


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_wrapping_comes_off():
    kms = LocalKms([generate()])
    assert kms.unwrap(kms.wrap(SECRET)) == SECRET
    assert kms.wrap(SECRET) != kms.wrap(SECRET)
    assert SECRET not in kms.wrap(SECRET)
    kms.health()


def test_the_last_master_key_wraps_and_all_unwrap():
    old, new = generate(), generate()
    wrapped = LocalKms([old]).wrap(SECRET)
    both = LocalKms([old, new])
    assert both.unwrap(wrapped) == SECRET
    assert both.name == LocalKms([new]).name == f"local:{master_id(new)}"
    assert LocalKms([new]).unwrap(both.wrap(SECRET)) == SECRET


def test_another_master_key_does_not_unwrap():
    one, other = LocalKms([generate()]), LocalKms([generate()])
    with pytest.raises(KeysUnavailableError, match="another master key") as refused:
        other.unwrap(one.wrap(SECRET))
    assert "keys list --json" in refused.value.remedy  # the table has no room for it


def test_every_flipped_bit_of_a_wrapped_key_is_noticed():
    kms = LocalKms([generate()])
    wrapped = kms.wrap(SECRET)
    for place in range(len(wrapped) * 8):
        edited = (int.from_bytes(wrapped) ^ (1 << place)).to_bytes(len(wrapped))
        with pytest.raises(KeysUnavailableError):
            kms.unwrap(edited)


def test_every_cut_of_a_wrapped_key_is_noticed():
    kms = LocalKms([generate()])
    wrapped = kms.wrap(SECRET)
    for length in range(len(wrapped)):
        with pytest.raises(KeysUnavailableError):
            kms.unwrap(wrapped[:length])


def test_a_new_file_is_private_and_works(file):
    assert mode(file) == 0o600
    assert mode(file.parent) == 0o700
    kms = LocalKms.from_file(file)
    assert LocalKms.from_file(file).unwrap(kms.wrap(SECRET)) == SECRET


def test_a_new_file_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        write_file(tmp_path / "new" / "folder" / "master.key", generate())
    finally:
        os.umask(before)
    assert mode(tmp_path / "new") == mode(tmp_path / "new" / "folder") == 0o700
    assert mode(tmp_path / "new" / "folder" / "master.key") == 0o600


def test_a_directory_that_exists_keeps_its_mode(tmp_path):
    tmp_path.chmod(0o755)
    write_file(tmp_path / "master.key", generate())
    assert mode(tmp_path) == 0o755


def test_a_master_key_is_never_overwritten(file):
    before = file.read_bytes()
    with pytest.raises(ConfigError, match="never overwritten"):
        write_file(file, generate())
    assert file.read_bytes() == before


def test_a_link_to_nowhere_is_not_followed(tmp_path):
    (tmp_path / "master.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        write_file(tmp_path / "master.key", generate())
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ConfigError, match="No space left"):
        write_file(tmp_path / "master.key", generate())
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_a_place_that_is_no_directory(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be created"):
        write_file(tmp_path / "file" / "master.key", generate())


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o610, 0o601, 0o660, 0o666, 0o777, 0o620])
def test_a_file_that_others_may_touch_is_refused(file, bits):
    file.chmod(bits)
    with pytest.raises(ConfigError, match="Others may") as caught:
        LocalKms.from_file(file)
    assert caught.value.remedy == f"Run: chmod 600 {file}"
    file.chmod(0o400)
    LocalKms.from_file(file)


def test_a_file_that_is_missing_or_none(tmp_path):
    with pytest.raises(ConfigError, match="no master key file") as caught:
        LocalKms.from_file(tmp_path / "master.key")
    assert "streamguard keys init" in caught.value.remedy
    with pytest.raises(ConfigError, match="is not a file"):
        LocalKms.from_file(tmp_path)


def damaged(line):
    version, name, key = line.split(".")
    swapped = key[:5] + ("A" if key[5] != "A" else "B") + key[6:]
    return [
        f"{version}.{name}.{swapped}",
        f"{version}.{'0' * 12}.{key}",
        f"sgmk2.{name}.{key}",
        line[:-1],
        line + "A",
        key,
        "",
        "# only a comment\n",
    ]


@pytest.mark.parametrize("number", range(8))
def test_a_damaged_master_key_is_refused(tmp_path, number):
    line = format_line(generate())
    text = damaged(line)[number]
    path = tmp_path / "master.key"
    for content in {text, f"{format_line(generate())}\n{text}"} if text and text[0] != "#" else {text}:
        path.write_text(content)
        path.chmod(0o600)
        with pytest.raises(ConfigError) as caught:
            LocalKms.from_file(path)
        assert line.split(".")[2][:5] not in str(caught.value)
        with pytest.raises(ConfigError):
            LocalKms.from_env("MASTER", {"MASTER": content})


def test_a_file_of_other_bytes_is_refused(tmp_path):
    path = tmp_path / "master.key"
    path.write_bytes(bytes(range(128, 256)))
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        LocalKms.from_file(path)


def test_comments_blank_lines_and_several_keys_are_read(tmp_path):
    old, new = generate(), generate()
    path = tmp_path / "master.key"
    path.write_text(f"\n# old\n{format_line(old)}\r\n\n  # new\n  {format_line(new)}  \n")
    path.chmod(0o600)
    assert LocalKms.from_file(path).unwrap(LocalKms([old]).wrap(SECRET)) == SECRET
    assert LocalKms.from_file(path).name == f"local:{master_id(new)}"


def test_a_variable_holds_one_or_more_keys():
    old, new = generate(), generate()
    kms = LocalKms.from_env("MASTER", {"MASTER": f"{format_line(old)} {format_line(new)}"})
    assert kms.unwrap(LocalKms([old]).wrap(SECRET)) == SECRET
    assert kms.name == f"local:{master_id(new)}"


@pytest.mark.parametrize("environment", [{}, {"MASTER": ""}])
def test_a_variable_that_is_not_set(environment):
    with pytest.raises(ConfigError, match="MASTER holds no master key"):
        LocalKms.from_env("MASTER", environment)


def test_a_passphrase_protects_a_master_key(tmp_path: Path):
    master = generate()
    path = tmp_path / "master.key"
    write_file(path, master, "six random words")
    assert format_line(master) not in path.read_text()
    kms = LocalKms.from_file(path, "six random words")
    assert kms.name == f"local:{master_id(master)}"
    assert LocalKms([master]).unwrap(kms.wrap(SECRET)) == SECRET
    with pytest.raises(ConfigError, match="does not open") as failure:
        LocalKms.from_file(path, "seven random words")
    assert "seven" not in str(failure.value)
    with pytest.raises(ConfigError, match="protected by a passphrase"):
        LocalKms.from_file(path)


def test_protected_and_plain_keys_share_a_file(tmp_path: Path):
    old, new = generate(), generate()
    path = tmp_path / "master.key"
    write_file(path, old)
    with path.open("a") as file:
        file.write(format_protected(new, "word") + "\n")
    kms = LocalKms.from_file(path, "word")
    assert kms.name == f"local:{master_id(new)}"
    assert kms.unwrap(LocalKms([old]).wrap(SECRET)) == SECRET


def test_damaged_protected_lines_are_refused_at_once(tmp_path: Path):
    line = format_protected(generate(), "word")
    path = tmp_path / "master.key"
    path.touch(mode=0o600)
    greedy = urlsafe_b64encode(b"\xff" * 12 + bytes(76)).rstrip(b"=").decode()
    idle = urlsafe_b64encode(bytes(88)).rstrip(b"=").decode()
    beginning = line.rpartition(".")[0]
    swapped = f"sgmp1.{'0' * 12}.{line.rpartition('.')[2]}"
    for damaged in (
        line[:-1],
        line[:-9] + "AAAAAAAAA",
        f"{beginning}.{greedy}",
        f"{beginning}.{idle}",
        swapped,
    ):
        path.write_text(damaged + "\n")
        with pytest.raises(ConfigError, match="damaged"):
            LocalKms.from_file(path, "word")


def test_the_form_of_a_protected_line_is_permanent(tmp_path: Path):
    # Master key 00…1f, made once; docs/wire-format.md describes it.
    protected = (
        "sgmp1.35cf2091cc89."
        "AAAAAwAAAAQAAQAA9CKTIBOKqbp0PIK6nxEEcuGSRG9QigduCGMmHF1JP1rY"
        "LFGipvsKKTGTXVBWzyHDZx8beJvbY80YgdBlnNjykmh8FH57Hhgh6sAGyA"
    )
    path = tmp_path / "master.key"
    path.touch(mode=0o600)
    path.write_text(protected + "\n")
    assert LocalKms.from_file(path, "correct horse").name == f"local:{master_id(bytes(range(32)))}"
