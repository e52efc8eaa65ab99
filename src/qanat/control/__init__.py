"""The QKDN controller: alarms and reports in, commands out.

What it is for: knowing which links may be relied on, which route each pair of sites uses, and what to
command when that changes: pause, quarantine, re-route, resume.
What it knows nothing about: keys, stores, sockets, the wall clock; it never touches a KME, a host
carries its commands.
Which file to read first: ``controller.py`` (the door), then ``state.py`` (the states of a link),
``planner.py`` (from links to routes), ``routing.py`` and ``disjoint.py`` (the graph algorithms), ``presence.py``
(who is not heard of, which routes go around).
"""
