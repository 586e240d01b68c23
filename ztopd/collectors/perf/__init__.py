"""Hardware counters of every process: perf_event_open(2), and what is made of it. docs/counters.md has the rules."""
