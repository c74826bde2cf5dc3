"""API keys: who may use which endpoint, how often, and for how many tokens.

Pure: ring, rate, table, limits, allowance, budget. `meter` asks Envoy for what was used.
"""
