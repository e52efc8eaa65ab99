"""The door: one file per command group, thin, with heavy imports inside the commands.

What it knows nothing about: how anything is done. Which file to read first: ``main.py``.
"""
