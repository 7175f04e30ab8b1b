"""Protobuf: schemas, and the bytes that they describe."""

from streamguard.formats.protobuf.form import ProtobufForm

__all__ = ["ProtobufForm"]
