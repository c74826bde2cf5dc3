"""Hosts of Envoy's clusters, given over a UNIX socket as Envoy asks for them.

Everything else reaches Envoy as files. Hosts do not, because Envoy opens an instance of inotify for
each file that it subscribes to, of which Linux gives a user 128: some sixty endpoints with two
revisions each, and Envoy ends itself.

Pure: assignment, discovery. `service` owns the socket and decides nothing.
"""
