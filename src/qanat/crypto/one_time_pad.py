"""One-time pad, and the sealed form in which key relay carries a key over one hop.

A pad hides the payload perfectly if its bits are random, secret and used once. It does not notice changes,
so a hop adds a one-time Poly1305 tag. All functions read their keys and leave it to the owner to wipe them.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from qanat.core.errors import AuthenticationFailed, LocalProtocolError, RemoteProtocolError
from qanat.core.secret import SecretBits

MAC_KEY_BYTES = 32
MAC_TAG_BYTES = 16


def pad(message: SecretBits, key: SecretBits) -> bytes:
    """The message under the pad: public.

    Raises:
        LocalProtocolError: the pad has another size.

    Example:
        >>> key = SecretBits(b"0123456789abcdef")
        >>> unpad(pad(SecretBits(b"a key to forward"), key), key) == SecretBits(b"a key to forward")
        True
    """
    if message.size_bits != key.size_bits:
        raise LocalProtocolError(f"a pad of {key.size_bits} bits for a message of {message.size_bits}")
    return message.xor(key)


def unpad(cipher: bytes, key: SecretBits) -> SecretBits:
    """The message again.

    Raises:
        RemoteProtocolError: the cipher does not have the pad's size.
    """
    try:
        padded = SecretBits(cipher, key.size_bits)
    except ValueError:
        raise RemoteProtocolError(f"{len(cipher)} bytes do not fit a pad of {key.size_bits} bits") from None
    return SecretBits(padded.xor(key), key.size_bits)


def seal_hop(payload: SecretBits, pad_key: SecretBits, mac_key: SecretBits, header: bytes) -> bytes:
    """A key as it travels over one hop: padded, then authenticated together with its header.

    Args:
        pad_key: As many bits as the payload, from the hop's own key, used once.
        mac_key: 32 bytes, likewise. Forgery succeeds with ``wegman_carter.forgery_bound`` of
            8 + header + payload bytes at most.
        header: What the next node must believe about the payload (which key, which pads). Not included:
            it travels beside.

    Returns:
        Cipher and tag.

    Raises:
        LocalProtocolError: a key has the wrong size or was wiped.
    """
    cipher = pad(payload, pad_key)
    return cipher + _mac(mac_key, header, cipher).finalize()


def open_hop(sealed: bytes, pad_key: SecretBits, mac_key: SecretBits, header: bytes) -> SecretBits:
    """The payload, after its tag was seen to fit.

    Raises:
        AuthenticationFailed: cipher, tag or header were changed, or the keys are not the sender's.
        LocalProtocolError: a key has the wrong size or was wiped.
    """
    if len(sealed) != pad_key.size_bytes + MAC_TAG_BYTES:
        raise AuthenticationFailed(f"a hop of {len(sealed)} bytes for a pad of {pad_key.size_bytes} bytes")
    cipher, tag = sealed[:-MAC_TAG_BYTES], sealed[-MAC_TAG_BYTES:]
    try:
        _mac(mac_key, header, cipher).verify(tag)
    except InvalidSignature:
        raise AuthenticationFailed("the tag of a relayed key does not fit") from None
    return unpad(cipher, pad_key)


def _mac(mac_key: SecretBits, header: bytes, cipher: bytes) -> Poly1305:
    if mac_key.size_bits != 8 * MAC_KEY_BYTES:
        raise LocalProtocolError(f"a hop's MAC key has {8 * MAC_KEY_BYTES} bits, not {mac_key.size_bits}")
    if mac_key == SecretBits(bytes(MAC_KEY_BYTES)):
        raise LocalProtocolError("this MAC key was wiped: it has been spent before")
    mac = Poly1305(mac_key.reveal())  # the primitive needs the bytes
    # The length first, so that no byte can move between header and cipher under the same tag.
    mac.update(len(header).to_bytes(8) + header)
    mac.update(cipher)
    return mac
