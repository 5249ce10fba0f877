"""The lineage of what is in hand as a graph: laid out, painted, explored by mouse and keys."""
