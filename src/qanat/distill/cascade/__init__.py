"""Cascade: two keys that differ in a few places become equal by parities disclosed in public.

What it is for: interactive reconciliation of all frames of a key block per round trip, every disclosed bit
counted at both ends alike.
What it knows nothing about: messages, links, photons, what a disclosed bit costs (``estimate.py`` knows).
Which file to read first: ``plain.py`` (the algorithm in short), then ``schedule.py``, ``state.py``, ``parities.py``
and ``learning.py``.
"""
