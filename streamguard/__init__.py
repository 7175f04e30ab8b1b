"""StreamGuard: a real-time privacy filter for Kafka.

A policy says, per topic, what each field is and what must happen to it. Every record of that topic leaves either as
a protected record on the clean topic or as an explained, value-free violation on the violations topic: exactly once.

The way in is the command line (``streamguard --help``). Imports go one way only::

    cli, console, streams -> guard -> transforms, formats -> crypto, store -> policy
"""

__version__ = "0.1.0"
