"""Classical tools: universal hashing, Wegman-Carter authentication, one-time pad, sealing at rest, PKI.

What it is for: what must be right whatever the photons do. Information-theoretic tools (``toeplitz``,
``verification``, ``wegman_carter``, ``one_time_pad``) protect keys that grow from light; computational
ones (``at_rest``, ``pki``) protect disks and connections. Each states its bound or its assumption.
What it knows nothing about: links, sessions, stores, connections. Randomness and time arrive as arguments;
primitives come from pyca/cryptography, except the universal hashing that QKD needs.
Which file to read first: ``wegman_carter.py``, then ``toeplitz.py``.
"""
