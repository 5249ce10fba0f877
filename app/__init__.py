"""The application: services, command line, desk."""
