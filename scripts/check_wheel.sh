#!/usr/bin/env bash
# Prove that the built wheel is whole: a fresh environment, nothing of this repository on the
# path, the command answers, and the typed stubs of the contract import and carry their types.
# Usage: scripts/check_wheel.sh PYTHON WHEEL
set -euo pipefail

python=$1
wheel=$(realpath "$2")
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT

"$python" -m venv "$room/venv"
"$room/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$wheel"
cd "$room"
"$room/venv/bin/turnout" --help >/dev/null
"$room/venv/bin/python" - <<'PY'
from importlib.resources import files

import turnout._native
from turnout.v1 import payments_pb2, payments_pb2_grpc

assert payments_pb2_grpc.PaymentServiceStub
assert payments_pb2.DESCRIPTOR.package == "turnout.v1"
for name in ("py.typed", "_native.pyi", "v1/payments_pb2.pyi", "v1/payments_pb2_grpc.pyi"):
    assert files("turnout").joinpath(name).is_file(), f"the wheel lacks turnout/{name}"
PY
echo "wheel: $(basename "$wheel") installs, answers and carries its typed stubs"
