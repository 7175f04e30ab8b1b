"""``generalize``: a value becomes the coarser group that it belongs to.

Dates become their year, quarter, month, week, day or hour; numbers their bucket; IP addresses their network; texts
their first characters; coordinates their grid cell or geohash. A value that would leave as it came is rejected
(``unchanged``): nobody should believe that it was made coarser.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_FLOOR, Context, Decimal
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any, ClassVar, Final, Literal

import pydantic
from pydantic import BeforeValidator

from streamguard.crypto.keyring import Keyring
from streamguard.transforms.base import ANY, DOMAIN, TEXT, Field, Options, Reject, Transform

UNCHANGED: Final = "unchanged"

Output = Literal["label", "start"]
Unit = Literal["year", "quarter", "month", "week", "day", "hour"]
Order = Literal["lat_lon", "lon_lat"]
Coarsen = Callable[[Any], Any]
"""Maps a value to its group; None when the value has none, the value itself when it is as coarse as its group."""


class Prefixes(Options):
    """How many leading bits of an address stay. An IPv6 /64 is one household or less, so no more than that can stay."""

    v4: Annotated[int, pydantic.Field(ge=0, le=31)] = 24
    v6: Annotated[int, pydantic.Field(ge=0, le=64)] = 48


class Geo(Options):
    """A grid cell of so many `decimals` of a degree (1: about 11 km), or a `geohash` of so many characters.

    `order` says which comes first in arrays and texts: GeoJSON writes longitude first.
    """

    decimals: Annotated[int, pydantic.Field(ge=0, le=4)] | None = None
    geohash: Annotated[int, pydantic.Field(ge=1, le=8)] | None = None
    order: Order = "lat_lon"

    @pydantic.model_validator(mode="after")
    def _one_grid(self) -> Geo:
        if (self.decimals is None) == (self.geohash is None):
            raise ValueError("name exactly one of decimals and geohash")
        return self


def _prefixes(value: Any) -> Any:
    return {"v4": value} if type(value) is int else value


Width = Annotated[int, pydantic.Field(ge=1, le=10**18)] | Annotated[float, pydantic.Field(ge=1e-6, le=1e18)]


class GeneralizeOptions(Options):
    """Exactly one of `date`, `number`, `ip`, `text`, `geo`.

    `output` is how a date, number or network is written: ``label`` names the group (``1984``, ``10-19``,
    ``10.1.2.0/24``), ``start`` is its first member in the form of the input (``1984-01-01``, ``10``, ``10.1.2.0``).
    """

    date: Unit | None = None
    number: Width | None = None
    ip: Annotated[Prefixes, BeforeValidator(_prefixes, json_schema_input_type=int | Prefixes)] | None = None
    text: Annotated[int, pydantic.Field(ge=1, le=1000)] | None = None
    geo: Geo | None = None
    output: Output = "label"

    @pydantic.model_validator(mode="after")
    def _one_kind(self) -> GeneralizeOptions:
        if sum(getattr(self, kind) is not None for kind in _TAKES) != 1:
            raise ValueError(f"name exactly one of {', '.join(_TAKES)}")
        if self.output == "start" and self.kind in ("text", "geo"):
            raise ValueError("output: start is for dates, numbers and addresses")
        return self

    @property
    def kind(self) -> str:
        """The one of `date`, `number`, `ip`, `text`, `geo` that is given."""
        return next(kind for kind in _TAKES if getattr(self, kind) is not None)


_TAKES: Final = {
    "date": frozenset({"string"}),
    "number": frozenset({"integer", "number"}),
    "ip": frozenset({"string"}),
    "text": frozenset({"string"}),
    "geo": frozenset({"string", "integer", "number", "array", "object"}),
}

# Formats of JSON Schema whose values are all of them something else.
_FOREIGN: Final = {
    "date": frozenset({"duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"}),
    "ip": frozenset({"date", "date-time", "duration", "email", "time", "uri", "uuid"}),
}


class Generalize(Transform[GeneralizeOptions]):
    """Replaces a value with the group that it belongs to."""

    verb: ClassVar[str] = "generalize"
    Options = GeneralizeOptions
    takes: ClassVar[frozenset[str]] = ANY - {"boolean", "bytes"}
    messages: ClassVar[Mapping[str, str]] = {
        DOMAIN: "the value is not the date, number, address, text or place that the policy generalizes here",
        UNCHANGED: "the value would leave as it came: it is already as coarse as the policy asks for",
    }

    def __init__(self, options: GeneralizeOptions, field: Field, keyring: Keyring) -> None:
        super().__init__(options, field, keyring)
        self._coarsen = _compile(options)
        # The first day of a year is written as the date was; a cell as the place was.
        self.keeps_form = options.output == "start" and options.date is not None

    def apply(self, values: list[Any], reject: Reject) -> list[Any]:
        """The groups; values that have none, or are their own, are rejected."""
        coarsen = self._coarsen
        groups: list[Any] = []
        for index, value in enumerate(values):
            group = coarsen(value)
            if group is None:
                reject(index, DOMAIN)
            elif group == value:
                reject(index, UNCHANGED)
                group = None
            groups.append(group)
        return groups

    def gives(self) -> frozenset[str]:
        """Texts, but for what is written in the form of the input."""
        options, types = self.options, self.field.types
        if options.number is not None and options.output == "start":
            whole = type(options.number) is int and types == {"integer"}
            return frozenset({"integer"} if whole else {"number"})
        if options.geo is not None and options.geo.geohash is None:
            return frozenset("number" if name == "integer" else name for name in types)
        return TEXT

    def check(self) -> str | None:
        """Options that cannot take the field's type, or would leave every one of its values as it is."""
        options, types = self.options, self.field.types
        if wrong := types - _TAKES[options.kind]:
            return f"'{options.kind}' does not take values of type {' or '.join(sorted(wrong))}."
        if self.field.format in _FOREIGN.get(options.kind, ()):
            return f"'{options.kind}' does not take values of the format '{self.field.format}'."
        if self.field.format == "date" and options.date in ("day", "hour"):
            return f"A date has no time, so 'date: {options.date}' would leave it as it is."
        if types == {"integer"} and options.number is not None and options.number <= 1:
            return "A bucket no wider than 1 would leave whole numbers as they are."
        return None


def _compile(options: GeneralizeOptions) -> Coarsen:
    if options.date is not None:
        return _date(options.date, options.output)
    if options.number is not None:
        return _number(options.number, options.output)
    if options.ip is not None:
        return _ip(options.ip, options.output)
    if options.text is not None:
        return _text(options.text)
    assert options.geo is not None  # noqa: S101 - GeneralizeOptions has exactly one
    return _geo(options.geo)


# --- dates --------------------------------------------------------------------------------------------------

_ISO: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ]([01]\d|2[0-3]):([0-5]\d(?::[0-6]\d(?:[.,]\d{1,9})?)?)([Zz]|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)

_FIRST_DAY: Final[dict[str, Callable[[date], date]]] = {
    "year": lambda day: day.replace(month=1, day=1),
    "quarter": lambda day: day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1),
    "month": lambda day: day.replace(day=1),
    "week": lambda day: day - timedelta(days=day.weekday()),
    "day": lambda day: day,
    "hour": lambda day: day,
}

_LABEL: Final[dict[str, Callable[[date], str]]] = {
    "year": lambda day: f"{day.year:04}",
    "quarter": lambda day: f"{day.year:04}-Q{(day.month + 2) // 3}",
    "month": lambda day: f"{day.year:04}-{day.month:02}",
    "week": lambda day: "{:04}-W{:02}".format(*day.isocalendar()[:2]),
    "day": date.isoformat,
    "hour": date.isoformat,
}


def _date(unit: Unit, output: Output) -> Coarsen:
    """ISO 8601 dates and date-times, in the zone in which they are written.

    Labels are ISO 8601 at reduced precision (quarters, which ISO lacks, are ``1984-Q1``); starts keep the input's form.
    """
    first_day, label = _FIRST_DAY[unit], _LABEL[unit]

    def coarsen(value: Any) -> str | None:
        if type(value) is not str or (found := _ISO.fullmatch(value)) is None:
            return None
        try:
            day = date.fromisoformat(found[1])
        except ValueError:
            return None
        hour, below, zone = found[2], found[3], (found[4] or "").upper()
        if unit == "hour" and hour is None:
            return None
        if output == "label":
            return f"{label(day)}T{hour}{zone}" if unit == "hour" else label(day)
        start = first_day(day)
        if hour is None:
            return start.isoformat()
        start_hour = hour if unit == "hour" else "00"
        if start == day and start_hour == hour and not below.strip("0:.,"):
            return value
        return f"{start}T{start_hour}:00:00{zone}"

    return coarsen


# --- numbers ------------------------------------------------------------------------------------------------

_EXACT: Final = Context(prec=60)
_LARGEST: Final = 2**63


def _floor(value: float, step: Decimal) -> Decimal:
    """The largest multiple of `step` that is not above `value`, by the decimal digits as they were written."""
    return _EXACT.divide(Decimal(repr(value)), step).to_integral_value(ROUND_FLOOR) * step


def _number(width: float, output: Output) -> Coarsen:
    """Numbers to buckets ``[k * width, (k + 1) * width)``. Labels with a whole width name whole numbers: ``10-19``."""
    step = Decimal(repr(width))
    whole = step == step.to_integral_value()

    def coarsen(value: Any) -> Any:
        if type(value) not in (int, float) or not -_LARGEST <= value < _LARGEST:
            return None
        if width <= 1 and value == math.floor(value):
            return value
        lower = _floor(value, step)
        if output == "start":
            return _number_of(lower, whole=whole)
        return f"{int(lower)}-{int(lower + step) - 1}" if whole else f"{lower:f}-{lower + step:f}"

    return coarsen


def _number_of(lower: Decimal, *, whole: bool) -> float | None:
    if not whole:
        return float(lower)
    return int(lower) if lower >= -_LARGEST else None


# --- addresses ----------------------------------------------------------------------------------------------


def _ip(prefixes: Prefixes, output: Output) -> Coarsen:
    """IP addresses to networks.

    An IPv6 address that carries an IPv4 address (mapped, RFC 4291; 6to4, RFC 3056) is treated as that one: the /48 of a
    6to4 address is the whole IPv4 address.
    """

    def coarsen(value: Any) -> str | None:
        if type(value) is not str:
            return None
        try:
            address = ip_address(value)
        except (AddressValueError, ValueError):
            return None
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address.sixtofour or address
        prefix = prefixes.v4 if isinstance(address, IPv4Address) else prefixes.v6
        host_bits = address.max_prefixlen - prefix
        network = type(address)(int(address) >> host_bits << host_bits)
        if output == "label":
            return f"{network}/{prefix}"
        return value if int(network) == int(address) else str(network)

    return coarsen


# --- texts --------------------------------------------------------------------------------------------------


def _text(length: int) -> Coarsen:
    """Texts to their first characters (Unicode code points)."""
    return lambda value: value[:length] if type(value) is str else None


# --- places -------------------------------------------------------------------------------------------------

_COORDINATE: Final = r"([+-]?\d{1,3}(?:\.\d{1,17})?)"
_PLACE: Final = re.compile(rf"{_COORDINATE}(?:, ?{_COORDINATE})?", re.ASCII)
_LATITUDES: Final = ("lat", "latitude")
_LONGITUDES: Final = ("lon", "lng", "long", "longitude")
_GEOHASH: Final = "0123456789bcdefghjkmnpqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class _Place:
    """One or two coordinates in degrees: `order` says which is which, `write` puts others in the form of these."""

    degrees: list[float]
    order: Order
    write: Callable[[list[float]], Any]


def _geo(geo: Geo) -> Coarsen:
    """Places to cells: a coordinate, ``[lat, lon]``, ``"lat,lon"`` or ``{lat, lon}``, with nothing beside them.

    With `decimals` a cell is written as its south-west corner, in the form of the input; a geohash is always a text.
    """
    decimals = geo.decimals or 0
    step = Decimal(1).scaleb(-decimals)

    def coarsen(value: Any) -> Any:
        place = _read(value, geo.order, decimals)
        if place is None or not _on_earth(place):
            return None
        if geo.geohash is not None:
            return _geohash(place, geo.geohash) if len(place.degrees) == 2 else None
        cell = [float(_floor(degrees, step)) for degrees in place.degrees]
        return value if cell == place.degrees else place.write(cell)

    return coarsen


def _read(value: Any, order: Order, decimals: int) -> _Place | None:
    if type(value) is str and (found := _PLACE.fullmatch(value)):
        degrees = [float(text) for text in found.groups() if text is not None]
        return _Place(degrees, order, lambda cell: ",".join(f"{corner:.{decimals}f}" for corner in cell))
    if type(value) in (int, float):
        return _Place([value], order, lambda cell: cell[0])
    if type(value) is list and len(value) == 2 and _are_numbers(value):
        return _Place(value, order, list)
    if type(value) is dict and len(value) == 2 and _are_numbers(value.values()):
        first, second = value
        if first in _LONGITUDES and second in _LATITUDES:
            order = "lon_lat"
        elif first in _LATITUDES and second in _LONGITUDES:
            order = "lat_lon"
        else:
            return None
        return _Place(list(value.values()), order, lambda cell: {first: cell[0], second: cell[1]})
    return None


def _are_numbers(values: Iterable[Any]) -> bool:
    return all(type(value) in (int, float) for value in values)


def _on_earth(place: _Place) -> bool:
    limits = (180,) if len(place.degrees) == 1 else (90, 180) if place.order == "lat_lon" else (180, 90)
    return all(-limit <= degrees <= limit for degrees, limit in zip(place.degrees, limits, strict=True))


def _geohash(place: _Place, length: int) -> str:
    """The geohash of a place (G. Niemeyer, 2008): longitude and latitude bits in turn, five to a character."""
    latitude, longitude = place.degrees if place.order == "lat_lon" else reversed(place.degrees)
    rest = ([-180.0, 180.0, longitude], [-90.0, 90.0, latitude])
    number = 0
    for bit in range(5 * length):
        axis = rest[bit % 2]
        middle = (axis[0] + axis[1]) / 2
        upper = axis[2] >= middle
        axis[0 if upper else 1] = middle
        number = number << 1 | upper
    return "".join(_GEOHASH[number >> 5 * (length - 1 - place_of) & 31] for place_of in range(length))
