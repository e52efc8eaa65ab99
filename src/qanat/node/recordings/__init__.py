"""Recorded light: one end of a link's clicks, settings or raw time tags in a ``.qlight`` file.

What it is for: feeding ``replay://`` and ``timetags://`` drivers, and keeping what a laboratory measured.
What it knows nothing about: sessions, sockets, how clicks become keys.
Which file to read first: ``form.py`` (the file's form), then ``header.py``, ``columns.py``, ``reader.py``.
"""
