"""Generate everything that follows from proto/: stubs, descriptors and the OpenAPI description.

What is generated is committed, so that a checkout works without protoc; `--check` generates again
into an empty directory and names every committed file that differs, is missing or is left over.
protoc comes from grpcio-tools, google/api and google/rpc from the googleapis wheel, both pinned by
the lock: the same sources give the same bytes on every machine.

    python scripts/gen.py             write the generated files
    python scripts/gen.py --check     fail where a committed file differs
    python scripts/gen.py --image -   write the full descriptor set (for buf) to standard output
    python scripts/gen.py --baseline  accept today's contract as the one to stay compatible with
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from google.protobuf import descriptor_pb2

from turnout.edge import openapi

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
STUBS = Path("src/turnout/v1")
OPENAPI = Path("src/turnout/edge/openapi.yaml")
DESCRIPTORS = STUBS / "turnout.binpb"
BASELINE = PROTO / "baseline.binpb"

# Errors travel as google.protobuf.Any; whoever prints them as JSON needs these descriptors,
# although no file of ours imports them.
ERROR_DETAILS = ("google/rpc/status.proto", "google/rpc/error_details.proto")


def main() -> int:
    """Run what the command line asks for; the exit status is 1 where `--check` finds a change."""
    parser = argparse.ArgumentParser(description="Generate what follows from proto/.")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="fail where a file differs")
    mode.add_argument("--image", metavar="FILE", help="write the descriptor set with comments")
    mode.add_argument("--baseline", action="store_true", help="renew proto/baseline.binpb")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        made = Path(room)
        if arguments.image:
            image = describe(made, comments=True)
            if arguments.image == "-":
                sys.stdout.buffer.write(image)
            else:
                Path(arguments.image).write_bytes(image)
            return 0
        generate(made)
        if arguments.baseline:
            return renew_baseline((made / DESCRIPTORS).read_bytes())
        return check(made, ROOT) if arguments.check else install(made, ROOT)


def generate(out: Path) -> None:
    """Write every generated file below `out`, at its path in the repository."""
    stubs_root = out / "src"
    (out / STUBS).mkdir(parents=True)
    (out / OPENAPI).parent.mkdir(parents=True)
    protoc(
        f"--python_out={stubs_root}",
        f"--grpc_python_out={stubs_root}",
        f"--plugin=protoc-gen-mypy={plugin('protoc-gen-mypy')}",
        f"--plugin=protoc-gen-mypy_grpc={plugin('protoc-gen-mypy_grpc')}",
        f"--mypy_out=quiet:{stubs_root}",
        f"--mypy_grpc_out=quiet:{stubs_root}",
        *sources(),
    )
    (out / DESCRIPTORS).write_bytes(describe(out, comments=False))
    commented = descriptor_pb2.FileDescriptorSet.FromString(describe(out, comments=True))
    (out / STUBS / "__init__.py").write_text(front_page(commented), encoding="utf-8")
    description = openapi.build(commented)
    text = yaml.dump(description, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
    (out / OPENAPI).write_text(openapi.HEADER + text, encoding="utf-8")


class Dumper(yaml.SafeDumper):
    """YAML that people can read: no anchors, and paragraphs as literal blocks."""

    def ignore_aliases(self, data: object) -> bool:
        """Write a shared value out wherever it is used."""
        return True


def paragraphs(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Write text of several lines as a literal block."""
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Dumper.add_representer(str, paragraphs)


def renew_baseline(descriptors: bytes) -> int:
    """Accept the contract as the one to stay compatible with, unless it breaks the last one."""
    test = "tests/contract/test_api_compat.py::test_nothing_that_callers_rely_on_has_changed"
    if BASELINE.exists() and subprocess.call(
        [sys.executable, "-m", "pytest", "-q", test], cwd=ROOT
    ):
        print("gen: the contract breaks its callers; the baseline stays.", file=sys.stderr)
        return 1
    BASELINE.write_bytes(descriptors)
    return 0


def describe(room: Path, *, comments: bool) -> bytes:
    """Return the descriptor set of the contract and of all that it imports."""
    target = room / "image.binpb"
    extra = ["--include_source_info"] if comments else []
    protoc(
        "--include_imports",
        f"--descriptor_set_out={target}",
        *extra,
        *sources(),
        *ERROR_DETAILS,
    )
    image = target.read_bytes()
    target.unlink()
    return image


def protoc(*arguments: str) -> None:
    """Run protoc, or end the program with what it said."""
    spec = importlib.util.find_spec("google.api")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("gen: googleapis-common-protos is missing; run `make setup` first.")
    googleapis = Path(next(iter(spec.submodule_search_locations))).parents[1]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", f"-I{googleapis}"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"gen: protoc failed:\n{done.stdout}{done.stderr}")


def plugin(name: str) -> Path:
    """Return the path of a protoc plugin that stands beside the running interpreter."""
    path = Path(sys.executable).parent / name
    if not path.is_file():
        raise SystemExit(
            f"gen: {name} is missing beside {sys.executable}; run `make setup` first."
        )
    return path


def sources() -> list[str]:
    """Return our .proto files relative to proto/, sorted."""
    return sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))


def front_page(image: descriptor_pb2.FileDescriptorSet) -> str:
    """Return the package's `__init__.py`: every name of the contract under one roof."""
    lines = [
        '"""The contract `turnout.v1`: messages, enumerations, stubs and servicers.',
        "",
        "Generated from proto/turnout/v1 by scripts/gen.py; never edited.",
        "",
        "    from turnout import v1",
        "",
        "    stub = v1.PaymentServiceStub(channel)",
        '    payment = await stub.GetPayment(v1.GetPaymentRequest(payment_id="pay_1"))',
        '"""',
        "",
        "from importlib.resources import files as _files",
        "",
    ]
    for file in image.file:
        if file.package != "turnout.v1":
            continue
        module = Path(file.name).stem + "_pb2"
        names = [item.name for item in file.enum_type]
        names += [value.name for item in file.enum_type for value in item.value]
        names += [item.name for item in file.message_type]
        lines += reexport(module, names)
        stubs = [f"{s.name}{kind}" for s in file.service for kind in ("Servicer", "Stub")]
        stubs += [f"add_{service.name}Servicer_to_server" for service in file.service]
        lines += reexport(f"{module}_grpc", stubs)
    lines += [
        "",
        "",
        "def descriptor_set() -> bytes:",
        '    """Return the serialized FileDescriptorSet of the contract with all its imports."""',
        f'    return _files(__name__).joinpath("{DESCRIPTORS.name}").read_bytes()',
    ]
    return "\n".join(lines) + "\n"


def reexport(module: str, names: list[str]) -> list[str]:
    """Return the lines that re-export `names` of a sibling module, for mypy --strict too."""
    if not names:
        return []
    inner = [f"    {name} as {name}," for name in sorted(names)]
    return [f"from turnout.v1.{module} import (", *inner, ")"]


def generated(root: Path) -> dict[Path, bytes]:
    """Return every generated file below `root`: path in the repository to content."""
    paths = [path for path in (root / STUBS).rglob("*") if path.is_file()]
    paths += [root / OPENAPI] if (root / OPENAPI).is_file() else []
    kept = (path for path in paths if "__pycache__" not in path.parts)
    return {path.relative_to(root): path.read_bytes() for path in kept}


def check(made: Path, root: Path) -> int:
    """Compare what was made with what is committed; say each difference; 1 if there is one."""
    fresh, committed = generated(made), generated(root)
    wrong = [f"missing: {path}" for path in sorted(fresh.keys() - committed.keys())]
    wrong += [f"left over: {path}" for path in sorted(committed.keys() - fresh.keys())]
    both = sorted(fresh.keys() & committed.keys())
    wrong += [f"differs: {path}" for path in both if fresh[path] != committed[path]]
    for line in wrong:
        print(f"gen: {line}", file=sys.stderr)
    if wrong:
        print("gen: run `make gen` and commit what it changes.", file=sys.stderr)
    return 1 if wrong else 0


def install(made: Path, root: Path) -> int:
    """Put what was made in its place and remove what is left over; touch only what changed."""
    fresh, committed = generated(made), generated(root)
    for path in committed.keys() - fresh.keys():
        (root / path).unlink()
    for path, content in fresh.items():
        if committed.get(path) != content:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            # Renamed into place: a server that starts meanwhile never reads half a file.
            part = (root / path).with_suffix(".part")
            part.write_bytes(content)
            os.replace(part, root / path)
            print(f"gen: wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
