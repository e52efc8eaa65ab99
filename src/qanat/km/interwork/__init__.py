"""Keys across the border between two operators' networks: ETSI GS QKD 020, without I/O.

What it is for: handing keys to the key management system of a partner at one trusted site, taking keys from it, and
knowing of each key whether the partner has it.
What it knows nothing about: HTTP, TLS, how the partner relays a key further. It trusts its acknowledgements.
Which file to read first: ``engine.py``; ``documents.py`` has the spellings of the standard.
"""
