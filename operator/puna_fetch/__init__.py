"""The model fetcher: one file, verified and published in one step; knows no Kubernetes."""
