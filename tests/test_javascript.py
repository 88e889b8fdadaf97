"""Slips in the explorers' JavaScript are found without a browser."""

import javascript
import pytest

GOOD = 'const word = h("b", {}, "x");\nsetText(word, "y");\nexport default { render: () => word };\n'


def test_what_the_frame_brings_is_known_to_all(tmp_path):
    (tmp_path / "explorer.js").write_text(GOOD)
    assert javascript.main(tmp_path) == 0


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("setText(", "setTxet(", "'setTxet' is not defined"),
        ("const word", "const other = 1;\nconst word", "'other' is declared but never used"),
        ("const word", "var word", "Unexpected var"),
        ("() => word", "() => word == 1", "Expected === and instead saw =="),
    ],
)
def test_a_slip_is_told(tmp_path, capfd, good, bad, said):
    (tmp_path / "explorer.js").write_text(GOOD.replace(good, bad))
    assert javascript.main(tmp_path) == 1
    assert said in capfd.readouterr().out


def test_without_oxlint_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(SystemExit, match="This needs oxlint: set up anew with `make test`"):
        javascript.main()
