"""The application: settings, authentication, HTTP and the command line, wired over the schema."""

from __future__ import annotations

import gc

# Python's default threshold, some hundred objects, suits programs with few objects. Loading the modules creates
# hundreds of thousands, building a statement about ten thousand: collections took a fifth and a tenth of that time.
gc.set_threshold(20_000, 10, 10)
