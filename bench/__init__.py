"""The benchmarks: run `python -m bench`. `docs/benchmarks.md` says what each part measures."""
