"""The HTTP API, ``/api/v1``: one router for each domain, assembled by `search.app`."""
