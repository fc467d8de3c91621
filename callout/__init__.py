"""The application: settings, authentication, HTTP and the command line, wired over the schema."""

from __future__ import annotations

import gc

# Python's own threshold of some hundred objects is for programs that have few. To load the modules makes hundreds of
# thousands, to build a statement some ten thousand: a fifth and a tenth of the time went to looking through them.
gc.set_threshold(20_000, 10, 10)
