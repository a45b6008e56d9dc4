"""The commands as an observer uses them."""

import json


def test_status_explain_logs_and_page_tell_an_observer(farm, tmp_path):
    made = farm(3)
    made.plant(n1="always")
    made.submit()
    made.wait_quiet()
    said = {}
    page = tmp_path / "status.html"
    for words in (
        ("status", "--html", str(page)),
        ("status", "--json"),
        ("explain", "Sum_"),
        ("logs", "Leaf_1_"),
    ):
        process = made.call(*words)
        said[words[0]], _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert json.loads(said["status"])[0]["total"]["quarantined"] == 1
    assert "waits for" in said["explain"] and "cannot be done" in said["explain"]
    assert "leaf 1, attempt 2" in said["logs"] and "RuntimeError: cannot be done" in said["logs"]
    assert "quarantined" in page.read_text() and "<script" not in page.read_text()


def test_mistakes_on_the_command_line_are_one_clear_line(make_farm):
    made = make_farm("local", 1)
    for words, expected in [
        (("submit",), "which task?"),
        (("submit", "--module", "no_such_module", "X"), "cannot be imported"),
        (("submit", "--module", "farm_tasks", "Summ"), "Summ"),
        (("submit", "--module", "farm_tasks", "Sum", "--count", "x"), "count"),
        (("plan", "--module", "farm_tasks", "Sum", "--cuont", "3"), "cuont"),
        (("explain", "nothing"), "there is no campaign"),
        (("--site", "/nowhere.toml", "status"), "config/sites"),
    ]:
        process = made.call(*words)
        text, _ = process.communicate(timeout=60)
        assert process.returncode == 2, text
        assert expected in text and "Traceback" not in text and len(text.strip().splitlines()) == 1, text
