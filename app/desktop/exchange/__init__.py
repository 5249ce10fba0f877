"""Labels in and out at the desk: the sheets that import and export, and what they tell."""
