"""Master keys: one file per key management system, behind one interface."""
