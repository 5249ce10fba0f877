"""Where a published version goes. Needs no database: the cluster worker uses it too."""
