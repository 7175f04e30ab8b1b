"""``scripts/bench``: how fast StreamGuard is, and how fast others are beside it. docs/performance.md tells the method.

One file per measurement (`guard_alone`, `serializer`, `throughput`, `latency`, `soak`), the peers in `peers/`.
"""
