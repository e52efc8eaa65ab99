"""Key distillation: one end of one QKD link, from detections to secret key, sans-IO.

What it is for: sift, estimate, reconcile, verify, amplify, authenticate. Bytes and the time go in, bytes and
events come out; the other end is never touched but by frames.
What it knows nothing about: sockets, processes, stores, whether the photons are real.
Which file to read first: ``session.py`` (the object that hosts hold), then ``states.py`` (what may follow
what) and one file per step: ``sift.py``, ``estimate.py``, ``cascade/``, ``verify.py``, ``amplify.py``,
``authenticate.py``.
"""
