"""Declarations of the custom resources: pydantic models that know their fields, rules and columns.

Pure, and importable by users, docs and tests. Nothing here reads, writes or decides.
"""

GROUP = "puna.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
