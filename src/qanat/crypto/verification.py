"""Verification: do both ends hold the same key? A universal hash of it, with a key drawn afterwards.

The hash is the polynomial part of Poly1305: the message as coefficients of a polynomial, evaluated at a
secret-until-then point r modulo 2**130 - 5. Two different messages of at most L bytes get equal tags with
probability 8 ceil(L / 16) / 2**106 at most, over r. Source: Bernstein, The Poly1305-AES message-
authentication code, FSE 2005, theorem 3.3; computed by pyca/cryptography with the one-time mask set to 0.

The tag discloses its 128 bits about the key; ``keyrate`` charges them once. The hash key is public, but
must be drawn at random after both ends have fixed their bits: whoever knows it earlier can aim at a collision.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.poly1305 import Poly1305

HASH_KEY_BYTES = 16
TAG_BITS = 128


def verification_tag(data: bytes, key: bytes) -> bytes:
    """16 bytes that differ, but for ``collision_bound``, when the data do.

    Args:
        data: The reconciled key, packed. Both ends agree on its size in bits already.
        key: 16 random bytes, drawn after reconciliation.

    Raises:
        ValueError: the key has another size.

    Example:
        >>> verification_tag(b"same", bytes(range(16))) == verification_tag(b"same", bytes(range(16)))
        True
    """
    if len(key) != HASH_KEY_BYTES:
        raise ValueError(f"the hash key has {len(key)} bytes, not {HASH_KEY_BYTES}")
    return Poly1305.generate_tag(key + bytes(16), data)


def collision_bound(size_bits: int, tag_bits: int = TAG_BITS) -> float:
    """Probability, at most, that two different keys of this size get the same tag.

    Args:
        tag_bits: Bits compared, from the tag's first byte on. The tag is a little-endian number, and
            equal low t bits allow 2**(128 - t) differences, each with the full tag's probability.

    Raises:
        ValueError: no such tag.

    Example:
        >>> collision_bound(1_000_000, 128) < 1e-26
        True
    """
    if not 0 < tag_bits <= TAG_BITS or tag_bits % 8 or size_bits < 0:
        raise ValueError(f"no tag of {tag_bits} bits for {size_bits} bits: whole bytes, 8 to {TAG_BITS} bits")
    blocks = max(1, -(-size_bits // 128))
    return float(min(1.0, 8 * blocks * 2.0 ** (TAG_BITS - tag_bits - 106)))
