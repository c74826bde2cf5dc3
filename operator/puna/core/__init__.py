"""Values and laws that every kind shares: plans, findings, ownership, names. Pure; knows no kind."""
