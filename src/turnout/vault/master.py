"""The master key: one file outside the database, without which the vault is noise.

It is made once, at the first start of an empty vault, and never again: a new master key beside
an old vault would look like a start and be a loss. So a file that is missing, short, readable
for others or simply another one stops the start with a message that says which it is.
"""

from __future__ import annotations

import hmac
import os
import stat
from pathlib import Path
from typing import Final

MASTER_KEY_BYTES: Final = 32
_ID_LABEL: Final = b"turnout/vault/master-key-id/v1"


class VaultLocked(Exception):
    """The vault cannot be opened with what is there; the message says what to restore."""


def master_key_id(master_key: bytes) -> str:
    """A fingerprint that tells master keys apart and says nothing about them."""
    return "mk_" + hmac.digest(master_key, _ID_LABEL, "sha256")[:16].hex()


def read_master_key(path: Path) -> bytes | None:
    """The key in the file, or None where there is no file.

    Raises:
        VaultLocked: the file is there and cannot be used as it is.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise VaultLocked(
            f"the vault's master key {path} cannot be read ({error.strerror}); it must be "
            "readable for the user that runs Turnout, and for nobody else"
        ) from error
    # The checks are on the open file, so that nobody can swap it between check and read.
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise VaultLocked(f"the vault's master key {path} is not a regular file")
        if facts.st_mode & 0o077:
            raise VaultLocked(
                f"the vault's master key {path} has mode {stat.S_IMODE(facts.st_mode):04o}, so "
                "others than its owner can reach it; if nobody has, run: "
                f"chmod 600 '{path}'"
            )
        key = os.read(descriptor, MASTER_KEY_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(key) != MASTER_KEY_BYTES:
        shown = "more" if len(key) > MASTER_KEY_BYTES else str(len(key))
        raise VaultLocked(
            f"the vault's master key {path} has {shown} bytes instead of {MASTER_KEY_BYTES}; "
            "restore the whole file from your backup"
        )
    return key


def make_master_key(path: Path, key: bytes) -> None:
    """Writes a new key file, mode 0600, whole and durable or not at all; never over another.

    Raises:
        VaultLocked: the place cannot be written, or a file is there by now.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            os.write(descriptor, key)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        # A link fails where the name is taken, which a rename would not.
        os.link(draft, path)
        _sync_directory(path.parent)
    except OSError as error:
        raise VaultLocked(
            f"a master key for the new vault cannot be written to {path} ({error.strerror}); "
            "set vault.master_key_path to a place that Turnout may write to"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
