"""The peers, each a program of its own as its own documentation would have it written.

They run as ``python -m benchmarks.peers.<name>`` in the environment that ``scripts/setup --bench`` makes.
"""
