"""What a span of time was about, in plain sentences with figures."""
