"""``fake``: a value becomes a made-up one of the same kind, always the same one for the same value."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from itertools import count
from threading import Lock
from typing import Annotated, Any, ClassVar, Final, Literal

import pydantic

from streamguard.crypto.keyring import Keyring
from streamguard.transforms.base import ANY, DOMAIN, Field, Options, Reject, Transform
from streamguard.transforms.encodable import NOT_ENCODABLE
from streamguard.transforms.keyed import KeyedHash, refuse_booleans

Kind = Literal[
    "name", "first_name", "last_name", "user_name", "email", "phone", "address", "street", "postcode", "city",
    "country", "company", "job",
]  # fmt: skip

# Nothing that pays or proves who one is: an invented card or social security number may be somebody's.
_METHODS: Final[Mapping[str, str]] = {
    "name": "name",
    "first_name": "first_name",
    "last_name": "last_name",
    "user_name": "user_name",
    "email": "ascii_safe_email",  # at example.com, .org and .net, which nobody receives mail for (RFC 2606)
    "phone": "phone_number",
    "address": "address",
    "street": "street_address",
    "postcode": "postcode",
    "city": "city",
    "country": "country",
    "company": "company",
    "job": "job",
}

_KNOWN_MOST: Final = 16_384
"""Fakes remembered per field: making one takes about 15 µs, and the same people come again."""


class _Source:
    """Faker for one locale, shared by all fields: it takes 30 ms and some megabytes to make."""

    def __init__(self, locale: str) -> None:
        import faker  # noqa: PLC0415 - takes 0.3 s, which only policies that use it shall pay

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a deprecated locale's old name still works
            # Unweighted: names as frequent as in life would give many people the same fake.
            self._faker = faker.Faker(locale, use_weighting=False)
        self.version = faker.VERSION
        self._lock = Lock()  # seeding and drawing are two steps on one generator

    def has(self, kind: str) -> bool:
        """Whether this locale can make such a thing."""
        return hasattr(self._faker, _METHODS[kind])

    def make(self, kind: str, seed: int) -> str:
        """The fake of this kind for this seed, in one line."""
        with self._lock:
            self._faker.seed_instance(seed)
            fake: str = getattr(self._faker, _METHODS[kind])()
        return ", ".join(fake.splitlines())


@cache
def _source(locale: str) -> _Source:
    return _Source(locale)


def _known_locale(locale: str) -> str:
    from faker.config import AVAILABLE_LOCALES  # noqa: PLC0415 - see _Source

    if locale not in AVAILABLE_LOCALES:
        raise ValueError("Faker has no such locale; write it as en_US, de_DE, pt_BR")
    return locale


class FakeOptions(Options):
    """What `kind` of thing to invent, in which `locale`.

    `faker` pins the version of Faker whose data the fakes are drawn from. Another version may draw other fakes for the
    same values; with this option the policy is refused instead.
    """

    kind: Kind
    locale: Annotated[str, pydantic.AfterValidator(_known_locale)] = "en_US"
    faker: str | None = None

    @pydantic.model_validator(mode="after")
    def _can_be_made(self) -> FakeOptions:
        source = _source(self.locale)
        if not source.has(self.kind):
            raise ValueError(f"Faker's locale {self.locale} has no {self.kind}")
        if self.faker not in (None, source.version):
            raise ValueError(f"Faker {source.version} is installed, another version than the policy pins")
        return self


class Fake(Transform[FakeOptions]):
    """Faker, seeded by a keyed hash of the value: consistent, realistic, and not unique."""

    verb: ClassVar[str] = "fake"
    Options = FakeOptions
    takes: ClassVar[frozenset[str]] = ANY
    messages: ClassVar[Mapping[str, str]] = {DOMAIN: NOT_ENCODABLE}

    def __init__(self, options: FakeOptions, field: Field, keyring: Keyring) -> None:
        super().__init__(options, field, keyring)
        self._hash = KeyedHash(keyring, field.element, self.verb, "blake2b")
        self._source = _source(options.locale)
        self._known: dict[bytes, str] = {}

    def apply(self, values: list[Any], reject: Reject) -> list[Any]:
        """The fakes; never by chance the value itself."""
        return list(map(self._fake, values, self._hash.digests(values, reject)))

    def check(self) -> str | None:
        """Booleans have too few values for fakes to hide them."""
        return refuse_booleans(self.field.types, self.verb)

    def _fake(self, value: Any, digest: bytes) -> str:
        known = self._known.get(digest)
        if known is None:
            if len(self._known) >= _KNOWN_MOST:
                self._known.clear()
            seed = int.from_bytes(digest)
            drawn = (self._source.make(self.options.kind, seed + attempt) for attempt in count())
            known = self._known[digest] = next(fake for fake in drawn if fake != value)
        return known
