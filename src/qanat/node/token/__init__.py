"""A PKCS#11 token (a hardware security module, a smart card, SoftHSM) as guard of a site's key encryption key.

What it is for: a key that never leaves the token computes the root key under which the file ``kek`` is sealed. What it
knows nothing about: stores, shares, and what the KEK is used for. Which file to read first: ``worker.py``, the only
one that speaks PKCS#11, in a process of its own; then ``device.py``, which asks it, and ``sealing.py``.
"""
