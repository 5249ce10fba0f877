"""Hubs at the desk: the list with what each can do, adding one, and sending a version there."""
