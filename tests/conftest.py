"""What all tests share: how hypothesis searches.

There is no time limit for one example, since the machine may be busy; in CI (and by default)
the examples are the same in every run, so that a red build can be repeated. To search anew:

    HYPOTHESIS_PROFILE=search pytest tests/adapters
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SLOW_DATA = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("repeatable", deadline=None, derandomize=True, suppress_health_check=_SLOW_DATA)
settings.register_profile("search", deadline=None, print_blob=True, suppress_health_check=_SLOW_DATA)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
