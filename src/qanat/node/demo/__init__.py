"""The demo: the whole line once, on real processes, with the numbers that prove each step.

What it is for: `qanat demo`. It holds no key logic of its own: it starts a network as `qanat up --isolate`
does, talks to it as applications and operators do, and checks what it is told.
Which file to read first: ``story.py``.
"""
