"""A key stream of ETSI GS QKD 004: two applications read the same chunks of key, by index, each from its own KME."""

from __future__ import annotations

import json
import os
import socket
import ssl
import uuid
from types import TracebackType

from qanat.core.errors import QanatError
from qanat.core.ids import KeyId, SaeId
from qanat.km import stream_wire as wire
from qanat.km.stream_types import METADATA_BYTES, Chunk, StreamQos, StreamStatus
from qanat.sae.answers import provenance_from_extension
from qanat.sae.errors import AnswerLost, KmeSpokeNonsense, KmeUnreachable
from qanat.sae.tls import client_context

DEFAULT_PORT = 25575
MIMETYPE = "application/json"


class StreamEnded(QanatError):
    """The KME refuses a call on a key stream; the status of ETSI GS QKD 004 says why. With status 7 the quality that
    the KME offers instead is attached: open the stream with it."""

    def __init__(self, status: StreamStatus, qos: StreamQos | None = None) -> None:
        super().__init__(f"status {int(status)}: {status.name.lower().replace('_', ' ')}", status=int(status))
        self.status, self.qos = status, qos


class KeyStream:
    """One end of a key stream, on one connection. Not for several threads at once.

    Args:
        me, peer: The two applications. The certificate must be that of ``me``.
        stream: The name that the other end was given; None opens a new stream, whose name goes to the other end.
        certfile, keyfile, cafile: As for ``KeyDeliveryClient``.

    Raises:
        StreamEnded: refused, with the status of the standard.
        KmeUnreachable: nobody answers there.

    Example (alice's end, then bob's)::

        alice = KeyStream(me="alice", peer="bob", host=..., port=..., chunk_bytes=32, **alices_files)
        bob = KeyStream(me="bob", peer="alice", stream=alice.stream, host=..., port=..., chunk_bytes=32, **bobs_files)
        assert alice.chunk(0).bits == bob.chunk(0).bits
    """

    def __init__(
        self,
        *,
        me: SaeId,
        peer: SaeId,
        host: str,
        port: int = DEFAULT_PORT,
        certfile: str | os.PathLike[str],
        keyfile: str | os.PathLike[str],
        cafile: str | os.PathLike[str],
        stream: KeyId | None = None,
        chunk_bytes: int = 32,
        bps_max: int = 0,
        bps_min: int = 0,
        timeout_ms: int = 5_000,
        ttl_s: int = 0,
    ) -> None:
        context = client_context(certfile=certfile, keyfile=keyfile, cafile=cafile)
        self.qos = StreamQos(
            chunk_bytes=chunk_bytes,
            bps_max=bps_max,
            bps_min=bps_min,
            timeout_ms=timeout_ms,
            ttl_s=ttl_s,
            mimetype=MIMETYPE,
        )
        self._address = f"{host}:{port}"
        self._line = self._connected(host, port, context, timeout_ms / 1000 + 10)
        self.is_peer_connected = False
        self.stream = self._open(me, peer, stream or uuid.UUID(int=0))

    def _connected(self, host: str, port: int, context: ssl.SSLContext, timeout_s: float) -> ssl.SSLSocket:
        try:
            plain = socket.create_connection((host, port), timeout=timeout_s)
            return context.wrap_socket(plain, server_hostname=host)
        except OSError as error:
            raise KmeUnreachable(f"{self._address}: {error}") from None

    def __enter__(self) -> KeyStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, me: SaeId, peer: SaeId, stream: KeyId) -> KeyId:
        request = wire.OpenRequest(source=f"qkd://{me}@", destination=f"qkd://{peer}@", qos=self.qos, stream=stream)
        answer = wire.open_answer_from_bytes(self._call(wire.Service.OPEN_CONNECT, request))
        if answer.status not in (StreamStatus.OK, StreamStatus.PEER_NOT_CONNECTED) or answer.qos is None:
            self._line.close()
            raise StreamEnded(answer.status, answer.qos)
        self.qos, self.is_peer_connected = answer.qos, answer.status is StreamStatus.OK
        return answer.stream

    def chunk(self, index: int | None = None) -> Chunk:
        """The chunk of an index; without one, the next that this end has not taken. Each comes once.

        Raises:
            StreamEnded: 2, 3 or 6: no key now, or the other end is not there yet.
            AnswerLost: the connection broke; the chunk of this index may be gone for this end.
        """
        number = wire.INDEX_ANY if index is None else index
        request = wire.GetKeyRequest(stream=self.stream, index=number, metadata_bytes=METADATA_BYTES)
        answer = wire.chunk_answer_from_bytes(self._call(wire.Service.GET_KEY, request))
        if answer.status is not StreamStatus.OK:
            raise StreamEnded(answer.status)
        try:
            extension = json.loads(answer.metadata)["provenance"]
        except (ValueError, KeyError, TypeError):
            raise KmeSpokeNonsense("The metadata of a chunk cannot be understood.") from None
        provenance = provenance_from_extension(extension)
        if provenance is None:
            raise KmeSpokeNonsense("A chunk came without its provenance.")
        return Chunk(index=answer.index, bits=answer.bits, provenance=provenance, has_metadata=True)

    def close(self) -> None:
        """End the stream for both applications; chunks that nobody took are destroyed."""
        try:
            self._call(wire.Service.CLOSE, wire.CloseRequest(stream=self.stream))
        except QanatError:
            pass  # it is gone already, or the KME is: its time to live ends it
        finally:
            self._line.close()

    def _call(self, service: wire.Service, request: wire.Request) -> bytes:
        try:
            self._line.sendall(wire.bytes_from_request(request))
            found, size_bytes = wire.header_from_bytes(self._exactly(wire.HEADER_BYTES))
            payload = self._exactly(size_bytes)
        except OSError as error:
            self._line.close()
            raise AnswerLost(f"{self._address} closed the connection ({type(error).__name__}).") from None
        if found != service + 1:
            raise KmeSpokeNonsense(f"{self._address} answered {found:#04x} to {service:#04x}.")
        return payload

    def _exactly(self, size_bytes: int) -> bytes:
        data = b""
        while len(data) < size_bytes:
            more = self._line.recv(size_bytes - len(data))
            if not more:
                raise ConnectionResetError
            data += more
        return data
