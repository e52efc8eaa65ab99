"""The few commands of charon's VICI socket that we need: one request, one answer.

Format: strongSwan, src/libcharon/plugins/vici/README.md. A packet is a 4-byte length, a type, and for commands a
name; a message is a list of typed elements.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Union

from qanat.core.errors import EnvironmentProblem, RemoteProtocolError

SECTION_START, SECTION_END, KEY_VALUE, LIST_START, LIST_ITEM, LIST_END = 1, 2, 3, 4, 5, 6
COMMAND, ANSWER = 0, 1
PACKET_BYTES_MAX = 512 * 1024
Message = Mapping[str, Union[str, bytes, Sequence[str], "Message"]]


class CharonRefused(EnvironmentProblem):
    """strongSwan's charon did not do what was asked. Its log says more (`journalctl -u strongswan`)."""


def encoded(message: Message) -> bytes:
    """A message as bytes.

    Example:
        >>> encoded({"type": "ppk"})
        b'\\x03\\x04type\\x00\\x03ppk'
    """
    out = b""
    for name, value in message.items():
        if isinstance(value, str | bytes):
            out += bytes([KEY_VALUE]) + _name(name) + _value(value)
        elif isinstance(value, Mapping):
            out += bytes([SECTION_START]) + _name(name) + encoded(value) + bytes([SECTION_END])
        else:
            items = b"".join(bytes([LIST_ITEM]) + _value(item) for item in value)
            out += bytes([LIST_START]) + _name(name) + items + bytes([LIST_END])
    return out


def top_values(data: bytes) -> dict[str, str]:
    """The key-value pairs of an answer's first level.

    Raises:
        RemoteProtocolError: it is cut short or has an element that VICI does not know.
    """
    found: dict[str, str] = {}
    place = depth = 0
    try:
        while place < len(data):
            kind, place, name, value = data[place], place + 1, "", b""
            if kind in {SECTION_START, KEY_VALUE, LIST_START}:
                size = data[place]
                name, place = data[place + 1 : place + 1 + size].decode(), place + 1 + size
            if kind in {KEY_VALUE, LIST_ITEM}:
                size = struct.unpack_from(">H", data, place)[0]
                value, place = data[place + 2 : place + 2 + size], place + 2 + size
            depth += {SECTION_START: 1, SECTION_END: -1}.get(kind, 0)
            if not 1 <= kind <= LIST_END or place > len(data):
                raise ValueError(kind)
            if kind == KEY_VALUE and depth == 0:
                found[name] = value.decode("utf-8", "replace")
    except (IndexError, ValueError, struct.error):
        raise RemoteProtocolError("charon's answer does not follow VICI") from None
    return found


def ask(socket_path: str, command: str, message: Message, *, timeout_s: float = 30.0) -> dict[str, str]:
    """Have charon do one thing.

    Raises:
        CharonRefused: it is not there, or says no.
    """
    body = bytes([COMMAND]) + _name(command) + encoded(message)
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(timeout_s)
            sock.connect(socket_path)
            sock.sendall(struct.pack(">I", len(body)) + body)
            size = struct.unpack(">I", _exactly(sock, 4))[0]
            if not 1 <= size <= PACKET_BYTES_MAX:
                raise RemoteProtocolError("charon's answer does not follow VICI")
            answer = _exactly(sock, size)
    except OSError as error:
        raise CharonRefused(f"{socket_path}: {error.strerror or error}.") from None
    if answer[0] != ANSWER:
        raise CharonRefused(f"charon does not know {command}.")
    values = top_values(answer[1:])
    if values.get("success", "yes") != "yes":
        raise CharonRefused(f"{command}: {values.get('errmsg', 'no reason given')}.")
    return values


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise ConnectionError("charon hung up")
        data += part
    return data


def _name(text: str) -> bytes:
    name = text.encode()
    return bytes([len(name)]) + name


def _value(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(data)) + data
