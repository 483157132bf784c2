"""`zkfed keys`: show key files, make development keys and signing keys."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from zkfed.cli.arguments import make_folder
from zkfed.cli.output import HOLDS, Output

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command."""
    added: argparse.ArgumentParser = commands.add_parser("keys", help="show and make key files")
    actions = added.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="open and check a proving or verifying key")
    show.add_argument("file", type=Path)
    setup = actions.add_parser("setup", help="development keys: whoever runs this can forge proofs under them")
    setup.add_argument("--features", type=int, required=True)
    setup.add_argument("--classes", type=int, required=True)
    setup.add_argument("--rows", type=int, required=True, help="of the benchmark")
    setup.add_argument("--at-least", default="1%")
    setup.add_argument("--out", type=Path, required=True)
    sign = actions.add_parser("sign", help="a fresh signing key of a device, in a file that only you can read")
    sign.add_argument("--out", type=Path, required=True)
    for action in (show, setup, sign):
        action.add_argument("--format", choices=("text", "json"), default=argparse.SUPPRESS)
    return added


def run(options: argparse.Namespace, output: Output) -> int:
    """Runs one action."""
    return {"show": _show, "setup": _setup, "sign": _sign}[options.action](options, output)


def _show(options: argparse.Namespace, output: Output) -> int:
    from zkfed.cli.inspect import as_data, describe, in_lines

    what = describe(options.file)
    output.result(in_lines(what), as_data(what))
    return HOLDS


def _setup(options: argparse.Namespace, output: Output) -> int:
    from zkfed.groth16.setup import development_keys
    from zkfed.policy import Improvement, LinearModel
    from zkfed.statements.improvement import improvement_circuit
    from zkfed.statements.update_bound import noise_circuit
    from zkfed.updates.key_file import KeyExists

    model = LinearModel(features=options.features, classes=options.classes)
    Improvement(model=model, rows=options.rows, at_least=options.at_least)
    make_folder(options.out)
    there = [name for name in ("statement.key", "noise.key") if (options.out / name).exists()]
    if there:
        raise KeyExists(f"{there[0]} is in {options.out.name} already: a key is never written over")
    circuits = {"statement": improvement_circuit(model, options.rows), "noise": noise_circuit(model.parameters)}
    for name, circuit in circuits.items():
        key = development_keys(circuit)
        key.save(options.out / f"{name}.key")
        line = f"{name}.key  {key.verifying.layout.name}, {key.verifying.digest.hex()}"
        output.result(line, {name: key.verifying.digest.hex()})
    output.say("development keys: whoever made them can forge proofs; a production policy refuses them")
    return HOLDS


def _sign(options: argparse.Namespace, output: Output) -> int:
    from zkfed.updates.key_file import create_key

    key = create_key(options.out)
    output.result(f"public key  {key.public.hex()}", {"public_key": key.public.hex()})
    output.say(f"the private half is in {options.out.name}: whoever has that file is the device")
    return HOLDS
