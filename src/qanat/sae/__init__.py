"""What an application holds: the client of the key delivery interface, and tools built on the keys.

What it is for: to fetch keys from the KME of one's own site (ETSI GS QKD 014) and to use them.
What it knows nothing about: how keys are made, stored or relayed. It trusts its KME, whose certificate it
checks, and shows the Provenance that comes with a key.
Which file to read first: ``client.py``; then ``seal.py``, the shortest honest use of a key.
"""
