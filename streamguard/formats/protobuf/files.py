"""Protobuf schemas as registries hold them, compiled to descriptors: .proto source text, or a descriptor in base64.

protoc does the compiling (https://protobuf.dev/reference/protobuf/proto3-spec/), inside this process and with a folder
of its own; nothing is fetched. Descriptors never enter the process-wide pool, where two versions of a schema collide.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import re
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import DecodeError

from streamguard.errors import ConfigError
from streamguard.formats.protobuf.known import DEEPEST, SPECIAL
from streamguard.formats.protobuf.print import printed

File = Any
"""A ``FileDescriptorProto``."""

MAIN: Final = "streamguard.main.proto"
"""The name of a schema that came as text, which has none of its own."""

TAGS: Final = "x-streamguard"
"""The parameter of Confluent's ``field_meta`` and ``message_meta`` that holds tags of ours."""

_ROOT: Final = "streamguard.root.proto"
# A file without a `syntax` line is proto2. Saying so keeps protoc from a warning on this process's stderr.
_PROTO2: Final = 'syntax = "proto2"; '
_STATEMENTS: Final = re.compile(r"\s*(?://[^\n]*\n|/\*.*?\*/|\s)*", re.DOTALL)
_IMPORT: Final = re.compile(r"""\bimport\s+(?:public\s+|weak\s+|option\s+)?["']([^"'\n]+)["']""")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/\s]++={0,2}\s*")
_GOOGLE: Final = re.compile(r"google/(protobuf|protobuf/compiler|type)/[a-z_]+\.proto")
_PATH: Final = re.compile(r"[^\x00-\x1f\"'\\]{1,200}")
# Comments and literals as protoc's tokenizer sees them (it ends a literal with its line, everything at a zero), and
# brackets.
_NESTING: Final = re.compile(
    r"""//[^\n\0]*|/\*[^\0]*?(?:\*/|\0|\Z)|"(?:\\[^\n\0]|[^"\\\n\0])*"?|'(?:\\[^\n\0]|[^'\\\n\0])*'?|([{<\[])|([}>\]])"""
)

# What the registries and clients of Confluent's kind have built in, so that no schema comes with it.
_CONFLUENT: Final = {
    "confluent/meta.proto": """
        syntax = "proto3";
        package confluent;
        import "google/protobuf/descriptor.proto";
        message Meta {
          string doc = 1;
          map<string, string> params = 2;
          repeated string tags = 3;
          repeated Rule rules = 4;
        }
        message Rule {
          string name = 1;
          string doc = 2;
          string expr = 3;
          string sql = 4;
        }
        extend google.protobuf.FileOptions { Meta file_meta = 1088; }
        extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
        extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
        extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
        extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }
    """,
    "confluent/type/decimal.proto": """
        syntax = "proto3";
        package confluent.type;
        message Decimal {
          bytes value = 1;
          uint32 precision = 2;
          int32 scale = 3;
        }
    """,
    "confluent/type/variant.proto": """
        syntax = "proto3";
        package confluent.type;
        message Variant {
          bytes metadata = 1;
          bytes value = 2;
        }
    """,
    "confluent/types/decimal.proto": """
        syntax = "proto3";
        import public "confluent/type/decimal.proto";
    """,
}


def is_known(name: str) -> bool:
    """Whether an imported file resolves by itself, so that no registry needs a reference to it."""
    return name in _CONFLUENT or is_google(name)


def is_google(name: str) -> bool:
    """Whether an imported file is one of Google's: the well-known types, and those of ``google/type``."""
    return _GOOGLE.fullmatch(name) is not None


def compile_files(text: str, references: Mapping[str, str]) -> list[File]:
    """The descriptors of a schema and of all that it imports, each after those it needs: the schema is the last.

    Raises ConfigError for what does not compile or is not there.
    """
    descriptor = descriptor_of(text)
    name = MAIN if descriptor is None else descriptor.name or MAIN
    return list(_resolved(name, {**references, name: text}, ()).values())


def descriptor_of(text: str) -> File | None:
    """The descriptor that a text holds in base64, as Confluent's Python serializer registers it; None for source."""
    if _BASE64.fullmatch(text) is None:
        return None
    try:
        descriptor = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(text, validate=False))
    except (binascii.Error, DecodeError):
        descriptor = None
    if descriptor is None or not _is_text(descriptor):
        raise ConfigError(
            "The Protobuf schema is neither source text nor the base64 of a file descriptor.",
            "Give the text of a .proto file.",
        ) from None
    return descriptor


def runtime_pool(files: list[File]) -> Any:
    """A pool of the files without their extensions: in records, those are fields that the schema does not declare."""
    pool = pool_of(map(_without_extensions, files))
    for name in SPECIAL:
        try:
            home = pool.FindMessageTypeByName(name).file.name
        except KeyError:
            continue
        if not is_google(home):
            raise ConfigError(
                f"The Protobuf schema declares '{name}' itself, in '{_shown(home)}'.",
                "Import it from google/protobuf, or give the message another name.",
            )
    return pool


def pool_of(files: Any) -> Any:
    """A pool of its own with these files. Raises ConfigError where their parts do not fit together."""
    pool = descriptor_pool.DescriptorPool()
    try:
        for file in files:
            pool.Add(file)
    except (TypeError, ValueError):
        raise ConfigError(
            f"The Protobuf schema cannot be built: '{_shown(file.name)}' names what is not there, one name twice, or a "
            "message of too many fields.",
            "Compile it with protoc, together with all that it imports.",
        ) from None
    return pool


def too_deep() -> ConfigError:
    """The schema is nested too deeply."""
    return ConfigError(f"The Protobuf schema is nested deeper than {DEEPEST} levels.", "Flatten it.")


def confluent_meta(kind: str, options: bytes) -> Any:
    """What the options of a part, serialized, hold of Confluent's: `kind` is ``FieldOptions`` or ``MessageOptions``."""
    message, extension = _confluent_options(kind)
    try:
        return message.FromString(options).Extensions[extension]
    except DecodeError:
        raise _number_taken() from None


def _number_taken() -> ConfigError:
    return ConfigError(
        "The Protobuf schema has an option of its own by the number of Confluent's (1088), which holds tags.",
        "Give that option another number.",
    )


def untagged(options: bytes) -> bytes:
    """The options of a field, serialized, without its tags."""
    message, extension = _confluent_options("FieldOptions")
    found = message.FromString(options)
    if found.HasExtension(extension):
        meta = found.Extensions[extension]
        meta.ClearField("tags")
        meta.params.pop(TAGS, None)
        if not meta.ByteSize():
            found.ClearExtension(extension)
    return bytes(found.SerializeToString(deterministic=True))


@cache
def _confluent_options(kind: str) -> tuple[Any, Any]:
    pool = pool_of(_resolved("confluent/meta.proto", {}, ()).values())
    name = {"FieldOptions": "confluent.field_meta", "MessageOptions": "confluent.message_meta"}[kind]
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"google.protobuf.{kind}"))
    return message, pool.FindExtensionByName(name)


# -- finding files ---------------------------------------------------------------------------------------------------


def _resolved(name: str, references: Mapping[str, str], above: tuple[str, ...]) -> dict[str, File]:
    """A file and all that it imports, the imported ones first. `above` are the files on the way to it."""
    if name in above:
        raise ConfigError("The Protobuf schema imports itself, by way of its references.", "Break the cycle.")
    if is_google(name):
        descriptor, text = _google(name), ""
    elif (text := references.get(name, _CONFLUENT.get(name, ""))) or name in references:
        descriptor = descriptor_of(text)
    else:
        raise _lost(name)
    if descriptor is None:
        return _from_source(name, text, references, above)
    found: dict[str, File] = {}
    for imported in descriptor.dependency:
        if imported not in found:
            found |= _resolved(imported, references, (*above, name))
    return found | {name: _named(descriptor, name)}


@cache
def _google(name: str) -> File:
    """Google's own types are taken as they are known here, whatever a reference of that name holds."""
    try:
        descriptor = importlib.import_module(
            name.removesuffix(".proto").replace("/", ".") + "_pb2"
        ).DESCRIPTOR
    except ImportError:
        raise ConfigError(
            f"The Protobuf schema imports '{_shown(name)}', which is not known here.",
            "Types of google/type come with the package googleapis-common-protos.",
        ) from None
    return descriptor_pb2.FileDescriptorProto.FromString(descriptor.serialized_pb)


def _lost(name: str) -> ConfigError:
    return ConfigError(
        f"The Protobuf schema imports '{_shown(name)}', which is not among its references.",
        "Files that a schema imports are registered as its references.",
    )


# -- source text -----------------------------------------------------------------------------------------------------


def _from_source(
    name: str, text: str, references: Mapping[str, str], above: tuple[str, ...]
) -> dict[str, File]:
    text = text.removeprefix("\ufeff")
    sources = {name: text, _ROOT: f'syntax = "proto3"; import public "{name}";'}
    waiting = [text]
    while waiting:
        for imported in _IMPORT.findall(waiting.pop()):
            if imported not in sources:
                source = _source(imported, references, (*above, name))
                if source is not None:  # otherwise the compiler finds out whether it is missing
                    sources[imported] = source
                    waiting.append(source)
    with tempfile.TemporaryDirectory(prefix="streamguard-") as folder:
        for path, source in sources.items():
            _write(Path(folder), path, source if _states_syntax(source) else _PROTO2 + source)
        files = _protoc(Path(folder), name, sources)
    return {file.name: file for file in files if file.name != _ROOT}


def _source(name: str, references: Mapping[str, str], above: tuple[str, ...]) -> str | None:
    """The source text of an imported file, printed where it is only there as a descriptor."""
    text = references.get(name, _CONFLUENT.get(name))
    if not is_google(name) and (text is None or descriptor_of(text) is None):
        return text
    if name.startswith("google/protobuf/"):
        return None  # protoc has its own
    files = list(_resolved(name, references, above).values())
    pool_of(files)
    try:
        return printed(files)
    except DecodeError:
        raise ConfigError(
            f"The Protobuf schema's file '{_shown(name)}' holds options that are not of their types.",
            "Compile it with protoc, together with all that it imports.",
        ) from None


def _protoc(folder: Path, name: str, sources: Mapping[str, str]) -> list[File]:
    # grpc_tools.protoc changes the import system when it is imported; the compiler itself does not.
    from grpc_tools import _protoc_compiler  # noqa: PLC0415 - 8 MB that only this needs

    with resources.as_file(resources.files("grpc_tools") / "_proto") as well_known:
        places = [str(folder).encode(), str(well_known).encode()]
        try:
            # Finds what is wrong, and says so in an exception; run_main would write it to this process's stderr.
            _protoc_compiler.get_protos(name.encode(), places)
        except _protoc_compiler.ProtocErrors as errors:
            raise _refused(errors.errors(), name, sources) from None
        output = folder / "streamguard.out"
        status = _protoc_compiler.run_main(
            [b"protoc", *(b"-I" + place for place in places), b"--include_imports", b"--include_source_info",
             b"--retain_options", b"--descriptor_set_out=" + str(output).encode(), _ROOT.encode()]
        )  # fmt: skip
    if status:
        raise ConfigError("The Protobuf schema does not compile.", "Try it with protoc.")
    try:
        return list(descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes()).file)
    except DecodeError:  # where Confluent's own extensions are known to the process
        raise _number_taken() from None


def _refused(errors: Any, main: str, sources: Mapping[str, str]) -> ConfigError:
    """Where protoc stopped, in our words: its own quote the text."""
    found = [
        (_text(error.filename), error.line + 1, error.column + 1, _text(error.message)) for error in errors
    ]
    if any("recursively imports itself" in message for *_, message in found):
        return ConfigError(
            "The Protobuf schema imports itself, by way of its references.", "Break the cycle."
        )
    missing = [name for name, *_, message in found if message.startswith("File not found")]
    if missing:
        return _lost(missing[0])
    name, line, column, _ = found[0]
    if line == 1 and not _states_syntax(sources.get(name, _PROTO2)):
        column -= len(_PROTO2)
    place = f"line {line}, column {column}" if line else "the file as a whole"
    file = "" if name == main else f" of '{_shown(name)}'"
    return ConfigError(
        f"The Protobuf schema does not compile: {place}{file}.",
        "Compare that place with the language's specification, or try protoc.",
    )


def _text(quoted: Any) -> str:
    """The compiler's binding gives texts as the repr of bytes."""
    text = str(quoted)
    return text[2:-1].replace("\\'", "'") if text[:2] in ("b'", 'b"') else text


def _states_syntax(source: str) -> bool:
    start = _STATEMENTS.match(source)
    return re.match(r"syntax\b|edition\b", source[start.end() if start else 0 :]) is not None


def _refuse_deep(source: str) -> None:
    """Refuse what would end the compiler's stack, and this process with it."""
    depth = 0
    for found in _NESTING.finditer(source):
        depth += (found[1] is not None) - (found[2] is not None)
        if depth > DEEPEST:
            raise too_deep()


def _write(folder: Path, name: str, source: str) -> None:
    path = PurePosixPath(name)
    if _PATH.fullmatch(name) is None or path.is_absolute() or ".." in path.parts or str(path) != name:
        raise ConfigError(
            f"The Protobuf schema refers to a file by the name '{_shown(name)}'.",
            "Names of imported files are relative, without '.' and '..'.",
        )
    _refuse_deep(source)
    try:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(source, encoding="utf-8")
    except (OSError, ValueError):
        raise ConfigError(
            f"The Protobuf schema's file '{_shown(name)}' cannot be laid out for the compiler.",
            "No file's name may be that of another one's folder, and texts are UTF-8.",
        ) from None


def _shown(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name[:100])


# -- descriptors -----------------------------------------------------------------------------------------------------


def _is_text(descriptor: Any) -> bool:
    """Whether a descriptor's texts are UTF-8. Its parser does not ask, and gives those that are not as bytes."""
    for field, value in descriptor.ListFields():
        if field.is_extension:
            continue
        values = value if field.is_repeated else (value,)
        if field.type == Field.TYPE_STRING and any(isinstance(one, bytes) for one in values):
            return False
        if field.message_type is not None and not all(map(_is_text, values)):
            return False
    return True


def _named(file: File, name: str) -> File:
    copy = descriptor_pb2.FileDescriptorProto()
    copy.CopyFrom(file)
    copy.name = name
    return copy


def _without_extensions(file: File) -> File:
    copy = _named(file, file.name)
    copy.ClearField("source_code_info")
    copy.ClearField("extension")
    waiting = list(copy.message_type)
    while waiting:
        message = waiting.pop()
        message.ClearField("extension")
        waiting += message.nested_type
    return copy
