"""The outside systems as one local server: a seeded world, its truth, its clock and its faults.

Here: everything a developer, a demo or a test needs in place of a marketplace, a returns platform and a warehouse. Not here: any code
of the product's other parts (a misunderstanding must not cancel out). Invariant: what it says is synthetic and repeatable.
"""
