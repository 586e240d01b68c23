"""What happened between two moments."""
