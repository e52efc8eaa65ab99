"""The nouns and the ports.

What it is for: the words that all rooms share. Two rooms on one floor never import each other; they
meet here.
What it knows nothing about: sockets, files, asyncio, the wall clock, global randomness, numba, scipy.
Which file to read first: ``topology.py`` (what a network is), then ``provenance.py`` (what a key rests on)
and ``engine.py`` (the shape of every party).
"""
