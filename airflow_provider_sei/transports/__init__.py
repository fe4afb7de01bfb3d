"""The two modules that open sockets: ``sync`` (requests) for workers, ``aio`` (aiohttp) for the triggerer.

Each is handed a ``Call`` and returns what its parser makes of the answer; foreign exceptions end here.
"""
