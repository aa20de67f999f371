"""What holds for the embedded index alone."""

import subprocess
import sys
from pathlib import Path

import pytest
from newswire_search.embedded_index import EmbeddedIndex
from newswire_search.index import IndexInUse

from tests.search.samples import found, publish, put


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    index = EmbeddedIndex(tmp_path)
    await put(index, publish("a1", "Ferry"))
    await index.close()
    again = EmbeddedIndex(tmp_path)
    assert await found(again, "ferry") == ["a1"]
    await again.close()


async def test_a_second_process_says_in_one_line_that_the_index_is_in_use(tmp_path: Path) -> None:
    index = EmbeddedIndex(tmp_path)
    script = (
        "import sys; from pathlib import Path; from newswire_search.embedded_index import EmbeddedIndex;"
        "from newswire_search.index import IndexInUse\n"
        "try: EmbeddedIndex(Path(sys.argv[1]))\n"
        "except IndexInUse as error: sys.exit(str(error))"
    )
    second = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert second.stderr.strip().count("\n") == 0
    assert "another process" in second.stderr
    with pytest.raises(IndexInUse):
        EmbeddedIndex(tmp_path)
    await index.close()
