"""Values and laws that kinds share: plans, findings, ownership, names. Pure; knows no kind."""
