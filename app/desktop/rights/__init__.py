"""What may leave, at the desk: tags, redacted copies, the audit log."""
