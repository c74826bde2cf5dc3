"""The `puna` command: a local cluster on this machine, and everyday work with Puna's resources.

Composes all other packages; nothing imports it. Decisions are pure functions (command lines,
certificate requests, what to start and stop); the modules that run programs, touch files or the
network are thin.
"""
