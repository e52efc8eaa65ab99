"""One file per protocol: its formula with source and equation numbers, its parameters, what it assumes.

What it is for: what a link can give, before it is built, and how far each assumption carries.
What it knows nothing about: counts of a real link; the live path takes ``lim2014`` and its siblings above.
Which file to read first: ``decoy_bb84.py``.
"""
