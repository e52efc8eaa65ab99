"""Threat detection: link reports in, alarms out.

What it is for: noticing, from the public statistics of each QKD link, that something changed; saying
since when, on what evidence, and when it is over. Every threshold follows from a stated mean time
between false alarms.
What it knows nothing about: routes, stores, keys, sockets, the wall clock; what to do about an alarm is
the controller's business.
Which file to read first: ``watcher.py`` (the door), then ``thresholds.py`` (where thresholds come from),
``cusum.py`` (the test that both monitors share), ``qber.py`` and ``rate.py`` (the monitors).
"""
