"""LDPC reconciliation: the reference end sends syndromes, the receiver decodes; hardly a round trip.

What it is for: links whose round trips are dear. All disclosed bits are parities of the reference key and counted as
such; frames that do not decode get more of them, at last Cascade.
What it knows nothing about: messages, links, photons, what a disclosed bit costs (``estimate.py`` knows).
Which file to read first: ``reconciler.py`` (who says what), ``codes.py`` (the matrices), ``kernels.py`` (decoding) with
its twin ``plain.py``. How the codes came about: ``design/ldpc_*.py`` and docs/decisions/0026.
"""
