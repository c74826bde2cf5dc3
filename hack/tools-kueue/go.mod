// Kueue, whose custom resources tests put on an API server; nothing of it is built.
module puna.dev/hack/kueue

go 1.26

require sigs.k8s.io/kueue v0.17.0
