"""Where an application gets its key: ETSI GS QKD 014 over TLS with client certificates.

What it is for: HTTP on one side, the ``KeyGateway`` protocol on the other.
What it knows nothing about: stores, blocks, routes, which pairs are permitted. The gateway decides.
Which file to read first: ``app.py`` (the three methods), then ``server.py`` (TLS and whose certificate it was).
"""
