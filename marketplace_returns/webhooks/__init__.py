"""Webhooks: what an outside system tells of its own accord, kept as a hint and never trusted.

Here: receiving, keeping and subscribing. Not here: what a hint leads to (``orchestration.inbox`` re-reads the object from
its source) or any business meaning. The invariants: an event is answered with 2xx only once it is durable; of its body
nothing is kept but the event's id, its type and the id of the object to read again.
"""
