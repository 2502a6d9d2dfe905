"""The front door: command line, Python API (:mod:`dynafix.api`), report."""
