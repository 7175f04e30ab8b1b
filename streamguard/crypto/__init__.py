"""Tokens on the wire, and the keys behind them."""
