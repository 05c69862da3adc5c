"""Does a kill, a full disk, a folder that cannot be written or a second writer leave anything but whole files?"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sim import files
from tests.fuzz import crash
from workloads import generate, load, ops
from workloads.network import Layer, Network
from workloads.save import save


def test_a_killed_command_leaves_whole_files_and_runs_again(tmp_path: Path) -> None:
    found = crash.torture("compress", tmp_path, 2, seed=0)
    assert found.kills == 2


def network(seed: int) -> Network:
    weight = generate.sparse(np.random.default_rng(seed), (30, 40), 0.2)
    return Network("n", {"x": (40,)}, [Layer("fc", ops.Linear(30, bias=False), ("x",), {"weight": weight})])


def test_a_network_cut_off_between_its_files_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(network(0), tmp_path)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("workloads.save.write", stop)
    with pytest.raises(KeyboardInterrupt):
        save(network(1), tmp_path)
    with pytest.raises(load.InputError, match=r"no network\.yaml"):
        load.load(str(tmp_path))
    monkeypatch.undo()
    save(network(1), tmp_path)
    assert np.array_equal(
        load.load(str(tmp_path)).network.layer("fc").array("weight"), network(1).layer("fc").array("weight")
    )


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    files.write(path, "before")
    with pytest.raises(UnicodeEncodeError), files.replacing(path) as temporary:
        temporary.write_text("half \ud800")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError) as caught:
        files.write(tmp_path / "absent" / "f.txt", "")
    assert caught.value.filename == str(tmp_path / "absent" / "f.txt")


def test_leftovers_are_no_part_of_a_folder(tmp_path: Path) -> None:
    save(network(0), tmp_path)
    before = load.digest(str(tmp_path))
    (tmp_path / ".tensors.safetensors.ab12cd34").write_bytes(b"half")
    assert load.digest(str(tmp_path)) == before
    load.load(str(tmp_path))


def test_a_full_disk_is_one_line_and_leaves_nothing_half(tmp_path: Path) -> None:
    crash.prepare(tmp_path)

    def small() -> None:  # files end at 1 KiB, as on a disk that is full
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    command = [sys.executable, "-m", "tapeout.cli", "run", "eie", "tiny.yaml", "--timing-only", "--out", "out"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, preexec_fn=small)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "tapeout" not in done.stdout and "out" in done.stderr
    for path in (path for path in (tmp_path / "out").rglob("*") if path.is_file()):
        crash.whole(path)


def environment() -> dict[str, str]:
    """Nothing but where the code is: compiled code that is cached stays where it was."""
    return {**os.environ, "PYTHONPATH": str(crash.ROOT)}


def test_folders_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tapeout import cli

    (tmp_path / "file").write_text("")
    crash.prepare(tmp_path)
    for out in ("/proc/here", str(tmp_path / "file"), str(tmp_path / "file" / "below")):
        sys.argv = ["tapeout", "import", str(tmp_path / "tiny.yaml"), "--out", out]
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_two_writers_of_one_result(tmp_path: Path) -> None:
    """They write the same bytes; whoever comes last, the files are whole and alike."""
    crash.prepare(tmp_path)
    both = [crash.start("run", tmp_path) for _ in range(2)]
    for made in both:
        _, said = made.communicate(timeout=120)
        assert made.returncode == 0, said
    (folder,) = (tmp_path / "out").iterdir()
    assert {path.name for path in folder.iterdir()} == {"result.json", "layers.csv", "run.json", "outputs.npy"}
    for path in folder.iterdir():
        crash.whole(path)
    first = (folder / "result.json").read_bytes()
    crash.finish("run", tmp_path)
    assert (folder / "result.json").read_bytes() == first


def test_many_writers_of_one_file(tmp_path: Path) -> None:
    """Three processes replace one file again and again; a reader sees one of their texts, whole, every time."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom sim.files import write\n"
        "for n in range(60): write(Path('f.json'), '[' + ', '.join([sys.argv[1]] * 3000) + ']')\n"
    )
    command = [sys.executable, "-c", script]
    made = [subprocess.Popen([*command, str(n)], cwd=tmp_path, env=environment()) for n in range(3)]
    seen = 0
    while any(each.poll() is None for each in made):
        if (tmp_path / "f.json").exists():
            values = json.loads((tmp_path / "f.json").read_text())
            assert len(values) == 3000 and len(set(values)) == 1
            seen += 1
    assert seen and all(each.returncode == 0 for each in made)
    assert [path.name for path in tmp_path.iterdir()] == ["f.json"]
