"""The panels beside the canvas: objects, classes and rule, attributes, history, issues."""
