"""Shows that the private demo runs as written: honest clients are accepted, each cheat is refused by name.

The small preset; `make demo-private` runs the large one.
"""

from __future__ import annotations

import json
from pathlib import Path

from examples.demo_private import CHEATS, LIMITS, OWN, run
from examples.private_cheats import REGISTRATION_CHEATS, ROUND_CHEATS
from zkfed.layers.transcript import Transcript

CODES = {
    "proves about rows of its own choice": {"proof-invalid"},
    "proves about one row, counted many times": {"proof-invalid"},
    "proves about the rows of another draw": {"proof-invalid"},
    "trains on the drawn rows after the beacon": {"not-authorised"},
    "registers one row many times": {"decode"},
    "labels its rows outside the histogram bound": {"proof-invalid"},
}


def test_the_small_private_demo(tmp_path: Path) -> None:
    own = OWN["small"]
    report = run(own, tmp_path)
    honest = own.preset.devices - len(CHEATS)
    refused = [*report["rounds"][0]["refused"], *report["registration"]["refused"]]
    seen: dict[str, set[str]] = {}
    for entry in refused:
        if entry["cheat"] is None:
            # One honest client sits out in 4 % of all draws, when its update does not help the rows drawn.
            assert entry["code"] == "unsatisfied-constraint"
        else:
            seen.setdefault(entry["cheat"], set()).add(entry["code"])
    assert seen == CODES == {kind.name: CODES[kind.name] for kind in (*ROUND_CHEATS, *REGISTRATION_CHEATS)}
    assert report["rounds"][0]["accepted"] + report["honest_refused"] == report["honest_total"] == honest
    assert report["rounds"][0]["accepted"] >= own.preset.min_clients
    assert report["registration"]["accepted"] == honest + len(ROUND_CHEATS)
    assert report["acceptance_bits"] == 1
    assert report["limits"] == list(LIMITS)
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(report))
    assert (tmp_path / "demo.png").stat().st_size > 10_000
    transcript = Transcript.load(tmp_path / "transcript")
    assert len(list(transcript.agreement.registry or ())) == honest + len(ROUND_CHEATS)
