module puna.dev/bench

go 1.26
