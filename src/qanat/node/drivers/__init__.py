"""Drivers of QKD modules at level A: whatever gives clicks or settings, named by a URI.

What it is for: ``sim://`` (simulated light), ``replay://`` (recorded blocks), ``timetags://`` (recorded raw time
tags), and what others register in the entry point group ``qanat.drivers``.
What it knows nothing about: sessions, peers, keys. Which file to read first: ``ports.py``, then ``registry.py``.
"""
