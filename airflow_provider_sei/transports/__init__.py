"""The modules that connect to Harness SEI: ``sync`` (requests) for workers, ``aio`` (aiohttp) for the triggerer."""
