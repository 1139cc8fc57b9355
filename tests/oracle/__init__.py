"""An oracle for routing: what docs/rules.md and docs/routing.md say, written down plainly.

Slow, short and without any idea of bitmaps or compilation, so that the core can be compared with
it, in what it decides and in what it costs.
"""
