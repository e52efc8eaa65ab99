"""Datasheets of QKD modules as data: one TOML file each, every value with its unit and where it comes from.

``transmitter-*.toml`` and ``receiver-*.toml``; ``physics/datasheet.py`` reads them.
"""
