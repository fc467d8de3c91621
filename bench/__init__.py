"""What Callout costs, measured: `python -m bench`, and `docs/benchmarks.md` for what each part measures."""
