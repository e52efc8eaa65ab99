"""Receiver families beside polarisation: layouts and share rules for ``optics.Optics``. Read ``time_bin.py`` first.

A family says where light in each prepared state goes; it knows nothing of samplers, attacks or protocols.
"""
