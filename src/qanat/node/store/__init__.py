"""Durable key stores of the live host.

What it is for: the contract of ``km.store.Store`` on a disk, in SQLite or on a PostgreSQL server.
What it knows nothing about: what the pieces mean, the network, HTTP.
Which file to read first: ``sqlite.py``, then ``postgres.py``.
"""
