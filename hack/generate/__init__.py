"""Files of the repository that are derived: from the models, the settings and the chart's values."""
