"""The verbs of the command line: thin shells on app.services; nothing heavy is imported before it is needed."""
