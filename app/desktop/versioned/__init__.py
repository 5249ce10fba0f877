"""Versions at the desk: two of them compared, taken out, and the passphrase of the keys that sign them."""
