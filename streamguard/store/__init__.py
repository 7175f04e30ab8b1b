"""What must outlive a process, in SQL: keys, vault tokens, the audit trail. One file per concern, one per database."""
