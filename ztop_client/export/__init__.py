"""Frames as tables for other programs: Parquet, CSV and JSON lines."""
