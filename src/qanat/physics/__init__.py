"""What light does: sources, fibre, detectors, attacks, and samplers of what the detectors say.

What it is for: from datasheets, a fibre and Eve's attacks to clicks. Three tiers with one law: ``dense``
(every photon, the oracle), ``sparse`` (only gates in which something may click, exact in law) and
``statistical`` (counts per window, mean-field approximation).
What it knows nothing about: keys, protocols' proofs, sites, time of day. No stream here ever makes a live key.
Which file to read first: ``optics.py`` (the law of one gate), then ``sparse.py`` and ``plain.py`` (its sampler,
told slowly), then ``dense.py`` (the oracle that checks it).
"""
