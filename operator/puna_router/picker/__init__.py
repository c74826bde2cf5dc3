"""The picker: sends a request only to a server with a free slot; the others wait in a fair queue.

A process of its own beside Envoy, with the standard library and uvloop alone, so that it starts at
once and can fail alone: without it Envoy balances by itself.

Pure (no clock, no network, no logging): members, config, state, share, slots, choose, rendezvous,
prefixes, fair_queue, refusals, counters, endpoint, scheduler, protobuf, messages, frames,
connection, processor, progress. The others do I/O and decide nothing.
"""
