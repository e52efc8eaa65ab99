"""The processes of one machine's live network: hub, KMEs, and the three workers of the QKD links.

What it is for: hosting engines, one process each. ``supervisor.py`` starts them; ``child.py`` is how each
begins and ends. What it knows nothing about: how keys are made (``distill``) or managed (``km``).
Which file to read first: ``supervisor.py``, then ``receivers.py`` for the data's way in.
"""
