import ipaddress
from datetime import UTC, date, datetime, time, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.unit.transforms.support import anything, applied, code_of, compiled, one

UNITS = ["year", "quarter", "month", "week", "day", "hour"]
zones = (
    st.none() | st.just(UTC) | st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
)
moments = st.datetimes(timezones=zones)
coordinates = st.floats(-90, 90, allow_nan=False)


def generalize(options, value):
    """The group, or "unchanged" where the value is its own; nothing else may be rejected."""
    column, rejected = applied(compiled("generalize", options), [value])
    assert rejected in ([], [(0, "unchanged")])
    return "unchanged" if rejected else column[0]


# --- dates


@pytest.mark.parametrize("unit", UNITS)
@given(moment=moments)
def test_the_start_of_a_period_is_a_moment_of_it_in_the_same_form(unit, moment):
    text = moment.isoformat()
    start = generalize({"date": unit, "output": "start"}, text)
    if start == "unchanged":
        start = text
    begins = datetime.fromisoformat(start)
    assert begins.tzinfo == moment.tzinfo
    assert begins <= moment
    assert (begins.minute, begins.second, begins.microsecond) == (0, 0, 0)
    assert unit == "hour" or begins.hour == 0
    longest = {"year": 366, "quarter": 92, "month": 31, "week": 7, "day": 1, "hour": 1 / 24}[unit]
    assert moment - begins < timedelta(days=longest)
    # The start stands for its whole period: of all starts of the period, it is the one that is its own.
    assert generalize({"date": unit, "output": "start"}, start) == "unchanged"


@pytest.mark.parametrize("unit", UNITS)
@given(one_moment=moments, days=st.integers(0, 400))
def test_two_moments_share_a_label_exactly_when_they_share_a_start(unit, one_moment, days):
    try:
        moment, other = (
            one_moment.replace(tzinfo=None),
            one_moment.replace(tzinfo=None) + timedelta(days=days),
        )
    except OverflowError:
        return

    def begins(at):
        start = generalize({"date": unit, "output": "start"}, at.isoformat())
        return at if start == "unchanged" else datetime.fromisoformat(start)

    same_label = generalize({"date": unit}, moment.isoformat()) == generalize(
        {"date": unit}, other.isoformat()
    )
    assert same_label == (begins(moment) == begins(other))


@given(st.dates())
def test_labels_are_the_calendars_own(day):
    text = day.isoformat()
    year, week, _ = day.isocalendar()
    assert generalize({"date": "year"}, text) == f"{day.year:04}"
    assert generalize({"date": "month"}, text) == text[:7]
    assert generalize({"date": "quarter"}, text) == f"{day.year:04}-Q{(day.month - 1) // 3 + 1}"
    assert generalize({"date": "week"}, text) == f"{year:04}-W{week:02}"
    assert generalize({"date": "day"}, f"{text}T10:00:00Z") == text
    assert generalize({"date": "hour"}, f"{text} 23:59:60.5+0530") == f"{text}T23+0530"


@pytest.mark.parametrize("form", ["{}", "{}T00:00:00Z", "{} 00:00", "{}t00:00:00.000+01:00"])
def test_a_date_that_starts_its_period_is_unchanged_in_every_form(form):
    assert generalize({"date": "year", "output": "start"}, form.format("1984-01-01")) == "unchanged"


@given(st.dates())
def test_a_plain_date_is_its_own_day(day):
    for output in ("label", "start"):
        assert generalize({"date": "day", "output": output}, day.isoformat()) == "unchanged"
        assert code_of("generalize", {"date": "hour", "output": output}, day.isoformat()) == "domain"


@pytest.mark.parametrize(
    "value",
    [
        "1984", "1984-02", "1984-02-30", "1984-13-01", "0000-01-01", "19840211", "1984-W06-6", "11.02.1984", "",
        "1984-02-11T24:00:00", "1984-02-11T10", "1984-02-11T10:60", "1984-02-11T10:00:00 ", "1984-02-11T10:00:00Zulu",
        "١٩٨٤-02-11", "1984-02-11\n", 1984, 445305600.0, True, ["1984-02-11"], {"date": "1984-02-11"}, b"1984-02-11",
    ],
)  # fmt: skip
@pytest.mark.parametrize("unit", UNITS)
def test_what_is_no_iso_date_is_rejected(unit, value):
    assert code_of("generalize", {"date": unit}, value) == "domain"


# --- numbers

numbers = st.integers(-(10**15), 10**15) | st.floats(-1e12, 1e12, allow_nan=False)
widths = st.integers(1, 10**6) | st.sampled_from([0.1, 0.25, 0.5, 2.5, 0.000001, 33.3])


@given(numbers, widths)
def test_a_number_lies_in_its_bucket(value, width):
    start = generalize({"number": width, "output": "start"}, value)
    if start == "unchanged":
        start = value
    step, exact = Fraction(repr(width)), Fraction(repr(value))
    if float(step) <= 1 and exact.denominator == 1:
        assert start == value
    else:
        # The float nearest to the bucket's exact start: far from zero, no float may be that start itself.
        assert start == float(exact // step * step)


@given(st.integers(-(10**9), 10**9), st.integers(2, 10**6))
def test_labels_of_whole_buckets_name_first_and_last(value, width):
    low = value // width * width
    assert generalize({"number": width}, value) == f"{low}-{low + width - 1}"
    assert generalize({"number": float(width)}, value) == f"{low}-{low + width - 1}"


@pytest.mark.parametrize(
    ("width", "value", "label"),
    [
        (10, 19.5, "10-19"), (10, 0, "0-9"), (10, -0.0, "0-9"), (10, -1, "-10--1"), (0.1, 0.29, "0.2-0.3"),
        (0.1, 1.15, "1.1-1.2"), (0.5, 36.7, "36.5-37.0"), (0.5, -0.2, "-0.5-0.0"), (1, 0.3, "0-0"),
        (2.5, 7.4, "5.0-7.5"),
    ],
)  # fmt: skip
def test_labels(width, value, label):
    assert generalize({"number": width}, value) == label


@pytest.mark.parametrize(("width", "value"), [(0.1, 0.3), (10, 20), (10, 20.0), (0.5, 3), (1, 7), (1, 7.0)])
def test_numbers_that_are_their_bucket_are_unchanged(width, value):
    assert generalize({"number": width, "output": "start"}, value) == "unchanged"


@pytest.mark.parametrize("width", [0.5, 1])
def test_a_narrow_bucket_does_not_hide_a_whole_number_behind_a_label(width):
    assert generalize({"number": width}, 7) == "unchanged"


@pytest.mark.parametrize("value", [True, "17", 2**63, -(2**63) - 1, 1e300, float("nan"), float("inf"), [17]])
def test_what_is_no_number_within_64_bits_is_rejected(value):
    assert code_of("generalize", {"number": 10}, value) == "domain"


def test_a_start_below_64_bits_is_rejected():
    assert code_of("generalize", {"number": 10, "output": "start"}, -(2**63)) == "domain"


# --- addresses


@given(st.ip_addresses(), st.integers(0, 31), st.integers(0, 64))
def test_networks_are_those_of_the_standard_library(address, v4, v6):
    options = {"ip": {"v4": v4, "v6": v6}}
    if address.version == 6 and (address.ipv4_mapped or address.sixtofour):
        address_meant = address.ipv4_mapped or address.sixtofour
    else:
        address_meant = address
    prefix = v4 if address_meant.version == 4 else v6
    network = ipaddress.ip_network((address_meant, prefix), strict=False)
    assert generalize(options, str(address)) == str(network)
    start = generalize(options | {"output": "start"}, str(address))
    assert start == (
        "unchanged" if network.network_address == address_meant else str(network.network_address)
    )


@pytest.mark.parametrize(
    ("value", "network"),
    [
        ("10.197.9.238", "10.197.9.0/24"),
        ("2001:DB8:85A3:1:2:8A2E:370:7334", "2001:db8:85a3::/48"),
        ("::ffff:10.197.9.238", "10.197.9.0/24"),
        ("2002:0ac5:09ee::1", "10.197.9.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
    ],
)
def test_networks_by_default(value, network):
    assert generalize({"ip": {}}, value) == generalize({"ip": 24}, value) == network


def test_an_address_written_in_another_way_is_still_unchanged():
    assert generalize({"ip": 24, "output": "start"}, "2001:DB8:0:0::0") == "unchanged"


@pytest.mark.parametrize(
    "value", ["", "localhost", "10.1.2", "10.1.2.3/24", "010.1.2.3", 167838211, 10.1, b"\x0a\x01\x02\x03"]
)
def test_what_is_no_address_is_rejected(value):
    assert code_of("generalize", {"ip": 24}, value) == "domain"


# --- texts


@given(st.text(), st.integers(1, 10))
def test_a_text_keeps_its_first_characters(value, length):
    assert generalize({"text": length}, value) == (value[:length] if len(value) > length else "unchanged")


@given(anything.filter(lambda value: type(value) is not str))
def test_what_is_no_text_is_rejected(value):
    assert code_of("generalize", {"text": 2}, value) == "domain"


# --- places


@given(coordinates, coordinates, st.integers(0, 4))
def test_a_place_lies_in_its_cell(lat, lon, decimals):
    cell = generalize({"geo": {"decimals": decimals}}, [lat, lon])
    corner = [lat, lon] if cell == "unchanged" else cell
    step = Fraction(1, 10**decimals)
    for low, degrees in zip(corner, [lat, lon], strict=True):
        assert Fraction(repr(low)) <= Fraction(repr(degrees)) < Fraction(repr(low)) + step
        assert (Fraction(repr(low)) / step).denominator == 1


@given(coordinates, coordinates, st.integers(0, 4))
def test_all_forms_of_a_place_have_the_same_cell(lat, lon, decimals):
    lat, lon = round(lat, 7), round(lon, 7)
    options = {"geo": {"decimals": decimals}}
    cell = generalize(options, [lat, lon])
    named = generalize(options, {"longitude": lon, "latitude": lat})
    text = generalize(options, f"{lat:.7f},{lon:.7f}")
    if cell == "unchanged":
        assert named == text == "unchanged"
    else:
        assert named == {"longitude": cell[1], "latitude": cell[0]}
        assert list(named) == ["longitude", "latitude"]
        assert [float(degrees) for degrees in text.split(",")] == cell


ALPHABET = "0123456789bcdefghjkmnpqrstuvwxyz"


def box(geohash):
    """The corners of a geohash, decoded bit by bit: (lat from, lat to, lon from, lon to)."""
    bits = "".join(f"{ALPHABET.index(character):05b}" for character in geohash)
    lon, lat = bits[0::2], bits[1::2]
    corners = []
    for axis, low, size in ((lat, -90, 180), (lon, -180, 360)):
        cell = Fraction(size, 2 ** len(axis))
        corners += [low + int(axis or "0", 2) * cell, low + (int(axis or "0", 2) + 1) * cell]
    return corners


@given(coordinates, st.floats(-180, 180), st.integers(1, 8))
def test_a_geohash_is_the_box_around_the_place(lat, lon, length):
    text = generalize({"geo": {"geohash": length}}, [lat, lon])
    south, north, west, east = box(text)
    assert south <= lat < north or lat == north == 90
    assert west <= lon < east or lon == east == 180
    assert generalize({"geo": {"geohash": length, "order": "lon_lat"}}, [lon, lat]) == text
    assert text.startswith(generalize({"geo": {"geohash": 1}}, {"lng": lon, "lat": lat}))


def test_geohashes_as_published():
    assert one("generalize", {"geo": {"geohash": 8}}, [57.64911, 10.40744]) == "u4pruydq"
    assert one("generalize", {"geo": {"geohash": 5}}, "42.6,-5.6") == "ezs42"


def test_one_coordinate_has_a_cell_and_no_geohash():
    assert one("generalize", {"geo": {"decimals": 1}}, -5.62) == -5.7
    assert one("generalize", {"geo": {"decimals": 0}}, "-5.62") == "-6"
    assert code_of("generalize", {"geo": {"geohash": 5}}, -5.62) == "domain"


@pytest.mark.parametrize(
    "value", [[52.3, 4.8], "52.3,4.8", "52.30, 4.80", {"lat": 52.3, "lng": 4.8}, 52.3, [52, 4]]
)
def test_a_place_as_coarse_as_its_cell_is_unchanged(value):
    assert generalize({"geo": {"decimals": 1}}, value) == "unchanged"


@pytest.mark.parametrize(
    "value",
    [
        [90.1, 0], [0, 180.1], 180.1, [1, 2, 3], [1], [], ["1", "2"], [True, 1], [None, 1], {"lat": 1.5}, "", "x",
        {"lat": 1.5, "lon": 2.5, "alt": 3}, {"lat": 1.5, "latitude": 2.5}, {"x": 1.5, "y": 2.5}, "1.5,2.5,3.5", "1.5,",
        {"lat": "1.5", "lon": "2.5"}, [float("nan"), 1], "1e1,2", "1;2", "१,२",
    ],
)  # fmt: skip
def test_what_is_no_place_is_rejected(value):
    assert code_of("generalize", {"geo": {"decimals": 1}}, value) == "domain"
    assert code_of("generalize", {"geo": {"geohash": 5}}, value) == "domain"


# --- options


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"date": "year", "number": 10}, {"date": "decade"}, {"date": None}, {"output": "start"},
        {"number": 0}, {"number": -1}, {"number": True}, {"number": "10"}, {"number": float("nan")},
        {"number": float("inf")}, {"number": 1e-7}, {"number": 2e18}, {"ip": 32}, {"ip": -1}, {"ip": True},
        {"ip": "24"}, {"ip": {"v4": 32}}, {"ip": {"v6": 65}}, {"ip": {"v5": 1}}, {"text": 0}, {"text": True},
        {"text": 2, "output": "start"},
        {"geo": {}}, {"geo": {"decimals": 5}}, {"geo": {"geohash": 0}}, {"geo": {"geohash": 9}},
        {"geo": {"decimals": 1, "geohash": 5}}, {"geo": {"decimals": 1}, "output": "start"}, {"geo": 1},
        {"geo": {"decimals": 1, "order": "xy"}},
    ],
)  # fmt: skip
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValidationError):
        compiled("generalize", wrong)


@pytest.mark.parametrize(
    ("options", "field", "problem"),
    [
        ({"date": "year"}, {"types": ("integer",)}, "does not take values of type integer"),
        ({"number": 10}, {"types": ("string", "number")}, "does not take values of type string"),
        ({"ip": 24}, {"types": ("array", "object")}, "does not take values of type array or object"),
        ({"text": 2}, {"types": ("number",)}, "does not take"),
        ({"geo": {"decimals": 1}}, {"types": ("boolean",)}, "does not take"),
        ({"date": "day"}, {"types": ("string",), "text_format": "date"}, "would leave it as it is"),
        ({"date": "hour"}, {"types": ("string",), "text_format": "date"}, "would leave it as it is"),
        ({"number": 1}, {"types": ("integer",)}, "would leave whole numbers as they are"),
    ],
)
def test_options_that_do_not_fit_the_field(options, field, problem):
    assert problem in (compiled("generalize", options, **field).check() or "")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"date": "day"}, {"types": ("string",), "text_format": "date-time"}),
        ({"date": "year"}, {"types": ("string",), "text_format": "date"}),
        ({"number": 1}, {"types": ("integer", "number")}),
        ({"number": 10}, {"types": ("integer",)}),
        ({"geo": {"decimals": 1}}, {"types": ("array", "object", "string")}),
        ({"ip": 24}, {}),
    ],
)
def test_options_that_fit_the_field(options, field):
    assert compiled("generalize", options, **field).check() is None


def test_start_and_label_of_the_first_and_last_days_there_are():
    for unit in UNITS[:4]:
        for day in (date.min, date.max):
            assert generalize({"date": unit}, day.isoformat())
            assert generalize({"date": unit, "output": "start"}, datetime.combine(day, time.max).isoformat())
