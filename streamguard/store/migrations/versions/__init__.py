"""One file per revision. What was released never changes: the next change is the next file."""
