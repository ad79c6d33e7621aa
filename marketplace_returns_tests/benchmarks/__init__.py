"""Measured, not promised: the close and the ingest beside what a fair expert would write by hand (``make bench``)."""
