"""The audit of a KME: what it did, in a file that can only grow, chained and signed. Read ``log.py`` first.

It knows events and refusals, never keys: an entry is made of names, numbers and hashes, and nothing here can hold
``SecretBits``.
"""
