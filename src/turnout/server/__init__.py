"""The gRPC face: turns messages into the domain's words and back, and nothing else.

A call's way: `face` (who calls, with which key, until when) -> `wire` (bytes to message) ->
`decode` (message to command) -> orchestration -> the stored bytes as they are, or `encode`.
What goes wrong anywhere becomes a status in `errors`, by one table.
"""
