"""Tests of the ReBound clients."""
