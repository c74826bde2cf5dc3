"""The model fetcher: one file from one address, verified and published atomically; knows no Kubernetes."""
