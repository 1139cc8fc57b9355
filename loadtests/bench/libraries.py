"""What the shared objects of a server are, for people."""

from __future__ import annotations

# What the names of shared objects mean; the first that fits.
_LIBRARIES = (
    ("kernel", "kernel"),
    ("libpython", "Python's interpreter and objects"),
    ("cygrpc", "gRPC core"),
    ("_message", "protobuf"),
    ("orjson", "orjson"),
    ("libcrypto", "cryptography"),
    ("_rust.abi3", "cryptography"),
    ("_native", "routing in Rust"),
    # apsw is a package whose extension is its __init__.
    ("__init__.cpython", "SQLite"),
    ("libc.so", "libc"),
    ("loop.cpython", "uvloop"),
    ("_asyncio", "asyncio"),
    ("aiohttp", "aiohttp"),
    ("multidict", "aiohttp"),
    ("yarl", "aiohttp"),
)


def library_of(shared_object: str) -> str:
    """What a shared object is, for people."""
    for part, meaning in _LIBRARIES:
        if part in shared_object:
            return meaning
    return "other"
