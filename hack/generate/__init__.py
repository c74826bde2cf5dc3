"""Files that are derived: from the models, the settings and the values of the chart."""
