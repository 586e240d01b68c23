"""How long the properties are tried: HYPOTHESIS_PROFILE=slow tries them five times as often."""

import os

from hypothesis import HealthCheck, settings

_UNHURRIED = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("moderate", _UNHURRIED, max_examples=40)
settings.register_profile("slow", _UNHURRIED, max_examples=200)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "moderate")
