"""Tests of the Peoplevox client."""
