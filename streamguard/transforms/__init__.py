"""One verb per file: what may happen to a field."""
