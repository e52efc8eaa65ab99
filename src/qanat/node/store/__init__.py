"""Durable key stores of the live host.

What it is for: the contract of ``km.store.Store`` on a disk.
What it knows nothing about: what the pieces mean, the network, HTTP.
Which file to read first: ``sqlite.py``.
"""
