"""How to talk to each outside system, and nothing about why."""
