"""The live page: what a network looks like now, for a browser and for Prometheus.

What it is for: turn one snapshot per second into a page, a stream of server-sent events and metrics.
What it knows nothing about: where snapshots come from, links, keys, alarms beyond the shape of the
snapshot; it has no command and no secret. The page's sources are in ``frontend/``, its build in ``static/``.
Which file to read first: ``app.py``.
"""
