"""The Dagster layer, and the passes it shares with the command line.

``app`` and ``sync`` know no Dagster and are what the command line calls; everything else here turns them into assets,
checks, schedules and sensors. No business rule lives here. The invariant: nothing that sends is ever retried by Dagster.
"""
