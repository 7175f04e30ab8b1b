"""Audit trails for tests, and what a database owner does to them."""

from streamguard.access.audit import Event
from streamguard.access.heads import format_head, parse_head
from streamguard.access.verify import Verifier
from streamguard.crypto.kms.local import generate

EVENT = Event("token:ui", "reveal", "revealed", "email", ("sg1.e.K.A", "sg1.e.K.B"), "ticket 1", "support")
MASTER = generate()


class Published:
    """Heads, kept where no database owner can reach them."""

    def __init__(self):
        self.heads = []

    def publish(self, head):
        self.heads.append(parse_head(format_head(head)))


def codes(keyring, published=None):
    return [(flaw.code, flaw.seq) for flaw in Verifier(keyring).verify(published).flaws]


def execute(keyring, *statements):
    """As the owner of the database does."""
    with keyring.store.database.writing() as connection:
        for statement in statements:
            connection.execute(statement)
