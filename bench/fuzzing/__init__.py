"""Random requests to all doors of a live network, and what is broken about the answers. Begin with ``fuzzer.py``.

``values`` has the strange numbers, texts and JSON, ``http_shapes`` puts them into requests that fit or do not;
``keys``, ``streams`` and ``offices`` know the paths and members of each door. ``stage`` is the network, ``endpoint``
the hostile places to which a KME pushes keys, ``after`` what must hold when all is over.
"""
