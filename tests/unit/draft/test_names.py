"""What the names of fields say."""

import pytest

from streamguard.draft import kinds
from streamguard.draft.names import named, tokens
from streamguard.policy.paths import parse_path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("shippingAddress_line-1", ["shipping", "address", "line", "1"]),
        ("IPAddress", ["ip", "address"]),
        ("userID", ["user", "id"]),
        ("straße", ["strasse"]),
        ("prénom", ["prenom"]),
        ("Date of Birth", ["date", "of", "birth"]),
        ("SSN", ["ssn"]),
        ("名前", ["名前"]),
        ("***", []),
    ],
)
def test_a_name_falls_into_words(name, words):
    assert tokens(name) == words


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("email", kinds.EMAIL),
        ("contact.eMail", kinds.EMAIL),
        ("customerEmailAddress", kinds.EMAIL),
        ("customeremail", kinds.EMAIL),
        ("emails[*]", kinds.EMAIL),
        ("addresses", kinds.ADDRESS),
        ("phone.number", kinds.PHONE),
        ("mobile_no", kinds.PHONE),
        ("Telefonnummer", kinds.PHONE),
        ("customer.name", kinds.NAME),
        ("user.name", kinds.NAME),
        ("name.first", kinds.NAME),
        ("shipping.recipient_name", kinds.NAME),
        ("Nachname", kinds.NAME),
        ("prénom", kinds.NAME),
        ("apellidos", kinds.NAME),
        ("name", kinds.NAME),
        ("user_name", kinds.USERNAME),
        ("login", kinds.USERNAME),
        ("address.street", kinds.ADDRESS),
        ("straße", kinds.ADDRESS),
        ("address.zip", kinds.POSTCODE),
        ("PLZ", kinds.POSTCODE),
        ("customer.id", kinds.PERSON),
        ("patient_id", kinds.PERSON),
        ("Kundennummer", kinds.PERSON),
        ("account.id", kinds.PERSON),
        ("id", kinds.IDENTIFIER),
        ("device.id", kinds.DEVICE),
        ("mac_address", kinds.DEVICE),
        ("ssn", kinds.SSN),
        ("codice_fiscale", kinds.SSN),
        ("tax.id", kinds.TAX_ID),
        ("passport_no", kinds.PAPERS),
        ("driversLicense", kinds.PAPERS),
        ("birth.date", kinds.BIRTH_DATE),
        ("customer_birth_date", kinds.BIRTH_DATE),
        ("DOB", kinds.BIRTH_DATE),
        ("fecha_de_nacimiento", kinds.BIRTH_DATE),
        ("age", kinds.AGE),
        ("payment.card.number", kinds.CARD),
        ("PAN", kinds.CARD),
        ("iban", kinds.IBAN),
        ("accountNumber", kinds.ACCOUNT),
        ("client_ip_address", kinds.IP),
        ("x-forwarded-for", kinds.IP),
        ("location.lat", kinds.GEO),
        ("gender", kinds.GENDER),
        ("blood_type", kinds.SPECIAL),
        ("smoker", kinds.SPECIAL),
        ("salary", kinds.INCOME),
        ("api_key", kinds.SECRET),
        ("Passwort", kinds.SECRET),
        ("items[*].gift_note", kinds.FREE_TEXT),
        ("product.description", kinds.FREE_TEXT),
    ],
)
def test_a_name_says_what_a_field_holds(path, kind):
    assert named(parse_path(path)).kind is kind


@pytest.mark.parametrize(
    "path",
    [
        "ts",
        "amount",
        "event_id",
        "order.id",
        "order_number",
        "items[*].name",
        "product.name",
        "company_name",
        "customer.company.name",
        "country_code",
        "email_verified",
        "phone_type",
        "card_brand",
        "account_status",
        "address.country",
        "address_type",
        "token_count",
        "quantity",
        "currency",
        r"\*",
        r"\.\.",
        "unrelated",
    ],
)
def test_a_name_that_says_nothing(path):
    assert named(parse_path(path)) is None


def test_the_nearest_owner_counts():
    assert named(parse_path("customer.orders[*].product.name")) is None
    assert named(parse_path("product.reviewer.author.name")).kind is kinds.NAME
