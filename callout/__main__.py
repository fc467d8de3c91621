"""Makes `python -m callout` the same as `callout`."""

from __future__ import annotations

from callout.cli import main

if __name__ == "__main__":
    main()
