"""The application: services, command line, desk."""

VERSION = "0.1.0"
