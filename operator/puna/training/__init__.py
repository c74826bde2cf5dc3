"""TrainingJob: from a resource and what is observed to children and status. Pure."""
