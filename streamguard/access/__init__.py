"""Who may reveal what: authentication, Cedar policies, limits, the audit trail, and the one function that reveals."""
