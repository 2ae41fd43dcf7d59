"""For all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# The built-in guide stands in every list of models; tests of other things say what they offer.
os.environ["HAUSGEIST_GUIDE"] = "false"

# How long an example takes says little on a machine that others use; tests that are about time measure it themselves.
settings.register_profile("hausgeist", deadline=None)
settings.load_profile("hausgeist")
