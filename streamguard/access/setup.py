"""From the service file to a desk at which values are revealed."""

from __future__ import annotations

from streamguard.access.audit import Limit, Publisher, Trail
from streamguard.access.masked import Masks
from streamguard.access.reveal import Desk
from streamguard.crypto.keyring import Keyring
from streamguard.policy.service import Access


def open_desk(keyring: Keyring, access: Access | None, publisher: Publisher | None = None) -> Desk:
    """The desk of a service. Without ``access:``, whoever runs this process may reveal what the master key opens.

    Raises ConfigError for policies or tokens that cannot be used.
    """
    trail = Trail(keyring, publisher)
    if access is None:
        return Desk(keyring, trail)
    # They bring libraries of the extra 'access', which nobody needs without the section.
    from streamguard.access.authz import load_rules  # noqa: PLC0415, I001 - this one says so when they are missing
    from streamguard.access.authn import Authenticator  # noqa: PLC0415

    return Desk(
        keyring,
        trail,
        authenticator=Authenticator.of(access),
        rules=load_rules(access.policy_files()),
        limit=Limit(access.limit.values, access.limit.per),
        masks=Masks(access.masked, keyring),
    )
