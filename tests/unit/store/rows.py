"""Rows that the tests of the store put into it."""

from dataclasses import replace
from datetime import UTC, datetime

from streamguard.store.keys import KeyRow

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
ROW = KeyRow("K7dq2mXw0a", "orders.email", "randomized", None, b"\x00wrapped\xff", "local:3f9a", NOW)
PINNED = replace(ROW, id="P7dq2mXw0a", purpose="deterministic", version=1)
