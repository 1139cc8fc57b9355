"""The words and laws of payments: standard library only, no I/O, no clock."""
