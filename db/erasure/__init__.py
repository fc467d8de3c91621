"""The erasure of a customer: replacing what identifies a person in every table."""
