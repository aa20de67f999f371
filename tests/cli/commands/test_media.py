"""`newswire media`: images are uploaded from a file, listed, checked and deleted."""

from pathlib import Path

from PIL import Image

from tests.cli.running import Running, newswire
from tests.polling import DEADLINE_SECONDS


def test_images_are_uploaded_checked_and_deleted(tmp_path: Path) -> None:
    picture = tmp_path / "ferry.png"
    Image.new("RGB", (400, 300), "teal").save(picture)
    (tmp_path / "text.png").write_text("no image")
    running = Running(tmp_path / "data", "--no-samples")
    variables = {"NEWSWIRE_DATA_DIR": str(running.data_dir)}
    try:
        running.until_ready()
        variables["NEWSWIRE_PUBLIC_URL"] = running.site
        added = newswire("media", "add", str(picture), "--alt", "A ferry", **variables)
        assert added.stdout.startswith(f"{running.site}/media/"), added.stderr
        media_id = added.stdout.split("/")[4]
        refused = newswire("media", "add", str(tmp_path / "text.png"), **variables)
        assert (refused.returncode, "send a JPEG, PNG, WebP, AVIF or GIF image" in refused.stderr) == (1, True)
        listed = newswire("media", "list", **variables).stdout
        assert f"{media_id}\t400\t300\t0\tA ferry" in listed
        assert newswire("media", "check", **variables).stdout == "1 images are there and unchanged\n"
        backup, restored = tmp_path / "backup", {"NEWSWIRE_DATA_DIR": str(tmp_path / "restored")}
        assert newswire("backup", str(backup), **variables).returncode == 0
        without = newswire("backup", str(tmp_path / "without"), "--without-media", **variables)
        assert (without.returncode, (tmp_path / "without").stat().st_size < backup.stat().st_size) == (0, True)
        told = newswire("restore", str(backup), **restored)
        assert (told.returncode, ", 1 images, " in told.stdout) == (0, True), told.stderr
        (stored,) = (running.data_dir / "media").rglob("original.png")
        (copy,) = (tmp_path / "restored" / "media").rglob("original.png")
        assert (copy.read_bytes(), copy.parent.name) == (stored.read_bytes(), stored.parent.name)
        stored.write_bytes(stored.read_bytes() + b"x")
        changed = newswire("media", "check", **variables)
        assert (changed.returncode, changed.stdout) == (1, f"changed  {media_id}\n")
        stored.unlink()
        assert newswire("media", "check", **variables).stdout == f"missing  {media_id}\n"
        assert "1 images are missing" in newswire("backup", str(tmp_path / "later"), **variables).stderr
        assert newswire("media", "delete", media_id, **variables).returncode == 0
        assert newswire("media", "check", **variables).stdout == "0 images are there and unchanged\n"
    finally:
        running.process.terminate()
        running.process.wait(DEADLINE_SECONDS)
