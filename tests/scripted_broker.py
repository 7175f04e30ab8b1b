"""librdkafka's mock cluster with the answers that a test asks for: what real brokers say for a moment once a month."""

import ctypes
from typing import Any, Final

from confluent_kafka import cimpl

from streamguard.demo.broker import EmbeddedBroker

OFFSET_FETCH: Final = 9
"""The number of the request for committed offsets (Kafka's protocol guide, "API keys")."""

_HEAD: Final = object.__basicsize__
"""Where a Python object of the library holds its C handle: behind what every object has."""

# Loaded already: the functions of the very library that the clients use (rdkafka_mock.h).
_librdkafka: Final = ctypes.CDLL(cimpl.__file__)
_mock_cluster: Final[Any] = _librdkafka.rd_kafka_handle_mock_cluster
_mock_cluster.restype = ctypes.c_void_p
_mock_cluster.argtypes = [ctypes.c_void_p]
_push_errors: Final[Any] = _librdkafka.rd_kafka_mock_push_request_errors_array
_push_errors.restype = None
_push_errors.argtypes = [ctypes.c_void_p, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)]


class ScriptedBroker(EmbeddedBroker):
    """An embedded broker that fails when it is told to."""

    def fail(self, request: int, *codes: int) -> None:
        """Answer the next requests of this kind with these errors, one each."""
        handle = ctypes.c_void_p.from_address(id(self._owner) + _HEAD).value
        _push_errors(_mock_cluster(handle), request, len(codes), (ctypes.c_int * len(codes))(*codes))
