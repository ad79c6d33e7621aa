"""Tests of the ReturnGO client."""
