"""Reporting: what a run says of itself while it lasts, and in the end."""
