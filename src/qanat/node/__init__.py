"""The live host: the same engines as in ``sim``, with real clocks, sockets, files and processes.

What it is for: running a network. It alone has asyncio, servers, files and the wall clock.
What it knows nothing about: proofs, sifting, routing. It carries bytes and the time to engines and does
what their events say.
Which file to read first: ``statedir.py`` (what lies on the disk), then ``api/app.py`` (where an
application gets its key); ``wire.py`` and ``messages.py`` for what the processes say to each other.
"""
