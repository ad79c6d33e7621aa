"""The desk: what people ask and mend without a developer, the same for the console and the command line.

Here: the look-up of an order with its status in plain words, and the mapping tables' review, preview and change. Not here:
pages, commands, the exception queue (``ledger``), any call to the outside. The invariant: a question changes nothing; a change
is in the ledger's history before it takes effect.
"""
