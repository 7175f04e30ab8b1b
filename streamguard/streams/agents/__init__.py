"""Faust agents: what flows slowly and where a repetition does no harm."""
