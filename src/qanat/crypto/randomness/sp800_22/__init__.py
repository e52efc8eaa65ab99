"""Statistical tests of a sequence of bits: NIST SP 800-22 rev. 1a (April 2010), section 2, all fifteen.

What it is for: to find visible structure in bits that should have none. Each test gives p-values: how often sound bits
look at least as odd. What it is not: a proof of randomness, let alone of secrecy; a counter under AES passes.
It knows nothing about files. Offline only: it loads numpy and scipy.
Which file to read first: ``suite.py``.
"""
