"""Peoplevox: the warehouse's SOAP integration service."""
