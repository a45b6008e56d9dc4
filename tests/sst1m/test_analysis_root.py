"""An analysis root is bound to one configuration; a run's log and provenance say what made a product."""

import json
import logging
import multiprocessing
import warnings

import pytest

from sst1m.analysis_root import RECORD_NAME, check_analysis_root, claim_analysis_root
from sst1m.errors import ConfigError
from sst1m.json_object import json_object
from sst1m.logs import run_log
from sst1m.provenance import input_record, provenance_json, software_versions

VALUES = {"analysis": {"cut": 0.2, "pixels": [1, 2]}, "kept": True}
OPTIONS = {"px_charges": False}


def test_the_first_configuration_stays(tmp_path):
    root = tmp_path / "new" / "root"
    check_analysis_root(root, "aa", VALUES, OPTIONS)
    assert not root.exists(), "a check writes nothing"
    claim_analysis_root(root, "aa", VALUES, OPTIONS)
    claim_analysis_root(root, "aa", VALUES, OPTIONS)
    record = json_object((root / RECORD_NAME).read_text())
    assert record == {"fingerprint": "aa", "options": OPTIONS, "config": VALUES}


def test_another_configuration_is_refused_with_the_keys_that_differ(tmp_path):
    claim_analysis_root(tmp_path, "aa", VALUES, OPTIONS)
    other = {"analysis": {"cut": 0.3, "pixels": [1, 2]}, "added": "x"}
    with pytest.raises(ConfigError) as caught:
        check_analysis_root(tmp_path, "bb", other, {"px_charges": True})
    message = str(caught.value)
    assert "analysis.cut was 0.2, is 0.3" in message
    assert 'added was absent, is "x"' in message
    assert "kept was true, is absent" in message
    assert "[night] px_charges was false, is true" in message
    assert "pixels" not in message
    assert "new ana_dir" in message


def test_of_many_that_come_at_once_one_wins(tmp_path):
    context = multiprocessing.get_context("fork")
    outcomes = context.Queue()

    def claim(number: int) -> None:
        try:
            claim_analysis_root(tmp_path, str(number), {"number": number}, {})
            outcomes.put(number)
        except ConfigError:
            outcomes.put(None)

    processes = [context.Process(target=claim, args=(number,)) for number in range(8)]
    for process in processes:
        process.start()
    found = [outcomes.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()
    (winner,) = [number for number in found if number is not None]
    assert json.loads((tmp_path / RECORD_NAME).read_text())["fingerprint"] == str(winner)


def test_a_broken_record_is_explained(tmp_path):
    (tmp_path / RECORD_NAME).write_text("{")
    with pytest.raises(ConfigError, match="not the record of an analysis"):
        check_analysis_root(tmp_path, "aa", VALUES, OPTIONS)


def test_a_log_begins_with_what_runs_and_ends_with_the_result(tmp_path):
    path = tmp_path / "logs" / "run.log"
    path.parent.mkdir()
    path.write_text("of an older attempt\n")
    with run_log(path, {"run": "tel 21 run 0001"}) as run:
        logging.getLogger("sst1m.calib").info("pedestals: %s", 20)
        logging.getLogger("sst1m.calib").debug("not for the log")
        warnings.warn("a mean of nothing", RuntimeWarning, stacklevel=1)
        logging.getLogger("luigi-interface").warning("not about this run")
        run.result("done, 60 events")
        assert run.content() == path.read_bytes()
    logging.getLogger("sst1m.calib").warning("after the end")
    lines = path.read_text().splitlines()
    assert "software: python" in lines[0]
    assert "run: tel 21 run 0001" in lines[2]
    assert lines[3].endswith("INFO    sst1m.calib: pedestals: 20")
    assert "a mean of nothing" in path.read_text()
    assert "result: done, 60 events" in lines[-1]
    assert not any(
        word in path.read_text() for word in ("older attempt", "not for", "not about", "after the end")
    )


def test_provenance_names_inputs_software_and_command(tmp_path):
    source = tmp_path / "calibration.h5"
    source.write_bytes(b"abc")
    record = json.loads(
        provenance_json(
            product=tmp_path / "run_dl1.h5",
            run={"tel_id": 21},
            inputs=[input_record(source), input_record(source, datasum=7)],
            config={"fingerprint": "aa"},
            started="2024-03-04T21:00:00.000Z",
            counts={"n_events": 3},
            options={},
            calibration={},
        )
    )
    assert record["inputs"][0]["sha256"].startswith("ba7816bf")
    assert (record["inputs"][1]["size"], record["inputs"][1]["datasum"]) == (3, 7)
    assert record["software"]["numpy"] == software_versions()["numpy"] != "not installed"
    assert record["stopped"] > record["started"]
    assert record["command"] and record["host"] and record["user"]
