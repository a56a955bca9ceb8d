"""Whether tests run in their long form: more photos, more rounds, the same claims."""

from __future__ import annotations

import os

LONG = bool(os.environ.get("FACESTATS_LONG_TESTS"))
