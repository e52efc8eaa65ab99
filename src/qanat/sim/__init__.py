"""Stand-ins and the virtual host: what lets the whole network run without glass, machines or waiting.

What it is for: simulated QKD modules (``module.py``) that satisfy the ports of real ones, and a host that runs the
same engines in virtual time with faults and Eve.
What it knows nothing about: sockets, files, the wall clock.
Which file to read first: ``module.py``.
"""
