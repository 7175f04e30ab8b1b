"""Avro: schemas, and the bytes that they describe."""

from streamguard.formats.avro.form import AvroForm

__all__ = ["AvroForm"]
