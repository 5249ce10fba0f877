"""The picture and what is drawn on it: one plain widget, three layers."""
