"""Studies, offline: surveys, link budgets, passes, placement, provisioning, reports.

What it is for: questions that are asked before a network is built, or about one that others built. It reads stated
inputs, asks ``keyrate`` and ``physics``, and says what follows.
What it knows nothing about: running networks, sockets, files, the wall clock. Texts and numbers come as arguments.
Which file to read first: ``demonstration.py``, the landmark experiments of the field as stated inputs; then
``reproduction.py``, which computes each and holds it against what was published.
"""
