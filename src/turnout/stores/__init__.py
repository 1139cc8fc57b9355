"""Where the record and the sealed cards are kept; every kind passes one contract suite.

Nothing is imported here, so that a process that needs one kind of store loads only that one.
"""
