"""One end of one QKD link as a process of its own: `qanat module`. The other end may be on another machine.

What it is for: hosting one ``distill.Session`` over one TCP connection, with light from a driver and keys to a KME.
What it knows nothing about: how keys are made, which photons are real, networks beyond this link.
Which file to read first: ``run.py``, then ``host.py`` and ``door.py``.
"""
