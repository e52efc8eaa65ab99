"""Delivered keys in programs that people run already: WireGuard, strongSwan, OpenSSL.

What it is for: to get a key at both ends, agree which one, and hand it over in the form each program takes.
What it knows nothing about: how those programs use it. No key exchange is invented here.
Which file to read first: ``agree.py``, how two ends change to the same key; then ``wireguard.py``.
"""
