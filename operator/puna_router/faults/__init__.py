"""The fault lab: a stub llama-server that misbehaves on purpose, `python -m puna_router.faults`.

It speaks llama-server's HTTP, holds no model, and needs the standard library only. What goes wrong
is drawn by seed and number of the request, so a run can be repeated. Nothing of the router imports
it.
"""
