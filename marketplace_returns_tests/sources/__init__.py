"""Tests of the sources: one folder per outside system."""
