"""Health checks of random sources and keys: have they visibly broken?

What it is for: to notice a source that is stuck, biased or repeating (``health``, ``delivered``), to judge the raw bits
of a physical source (``sp800_90b``), and to look at a file of bits offline (``sp800_22``).
What it is not: evidence of security. A counter under AES passes every test here, and whoever holds the AES key knows
all of its bits. Secrecy of keys comes from the proof in ``keyrate``, never from statistics of the key.
What it knows nothing about: links, hosts, files.
Which file to read first: ``health.py``; of the offline part ``judgement.py``, then each suite's ``suite.py``.
"""
