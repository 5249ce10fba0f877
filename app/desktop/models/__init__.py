"""Models at the desk: the list, adding with a preview, pre-labelling, and how a job goes."""
