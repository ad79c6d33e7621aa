"""Payload abuse: answers of every source that are not what they should be, and what the pipeline then does."""
