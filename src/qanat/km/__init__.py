"""The key management layer of one site: one KME, without I/O.

What it is for: it takes the key blocks of the site's QKD links, keeps them in a store, relays keys through
trusted nodes, and hands each key once to each of two applications by ETSI GS QKD 014.
What it knows nothing about: HTTP, TLS, sockets, files, threads, the wall clock, who decides on routes.
Which file to read first: ``kme.py`` (the engine and its contract with a host), then ``store.py`` (what is
durable), ``books.py`` (every bit's way through the ledger) and ``relay/``.
"""
