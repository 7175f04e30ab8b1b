"""What must outlive a process: wrapped data keys, in SQL."""
