"""The router of one namespace: renders Envoy's resources from documents and live Pods.

Never in the byte path.
"""
