"""All I/O with the API server, the routers and the clock. Decides nothing."""
