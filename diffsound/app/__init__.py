"""A page and an HTTP API over one bundle."""
