"""Tests of the Reveni client."""
