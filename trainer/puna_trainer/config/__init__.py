"""The contract of `run.json`: pydantic models, shared with whoever starts the trainer."""
