"""Stand-ins and the virtual host: what lets the whole network run without glass, machines or waiting.

What it is for: simulated QKD modules (``module.py``) that satisfy the ports of real ones, and a host that runs the
same engines in virtual time with faults and Eve, and checks seven invariants after each step.
What it knows nothing about: sockets, the wall clock.
Which file to read first: ``run.py`` (how a run is put together), then ``world.py`` (time), ``site.py`` (one KME and
its crashes), ``invariants.py`` (what must hold) and ``faults.py`` (what goes wrong). For light: ``module.py``.
"""
