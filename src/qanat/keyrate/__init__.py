"""What a proof allows: counts and failure probabilities in, secret bits out.

What it is for: one file per security proof, each a pure function of public counts. The secret length of
every live key block is decided here and nowhere else.
What it knows nothing about: links, sessions, detectors, files, time, chance. It takes counts as they
were observed and never asks how they came about; ``channel_model`` predicts counts for studies and tests
and is not used by the live path.
Which file to read first: ``lim2014.py``, then ``decoy.py`` and ``sampling.py`` for its two bounds.
"""
