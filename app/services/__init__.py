"""Use cases: plain functions on one Workspace."""
