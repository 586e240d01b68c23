"""Columns as data."""
