"""The language people write: one policy per topic. The lowest layer; it imports no other part of StreamGuard."""
