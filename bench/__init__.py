"""What Callout costs, measured: `python -m bench` beside two baselines, `python -m bench million` in the database."""
