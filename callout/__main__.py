"""`python -m callout` is `callout`."""

from __future__ import annotations

from callout.cli import main

if __name__ == "__main__":
    main()
