"""Mutation of the guards: each is taken out in turn, and the tests must see it."""
