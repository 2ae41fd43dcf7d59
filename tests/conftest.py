"""For all tests."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says little on a machine that others use; tests that are about time measure it themselves.
settings.register_profile("hausgeist", deadline=None)
settings.load_profile("hausgeist")
