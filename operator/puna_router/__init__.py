"""The router of one namespace: renders Envoy's resources from documents and live Pods; never in the byte path."""
