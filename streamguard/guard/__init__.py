"""The corridor: a policy compiled to stages, each of which sees one batch. Knows nothing of Kafka."""
