"""Write the answers of ``docs/sql.md`` anew, as the served database gives them (`make demo`)."""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("sql.md")
EXAMPLE = re.compile(r"(```sql\n([^`]*)```\n\n)```text\n[^`]*```")


def answer(example: re.Match[str]) -> str:
    """Ask the query of an example, and put what psql prints below it."""
    program = str(Path(sys.executable).with_name("soundalike"))
    plain = {**os.environ, "PSQLRC": os.devnull}  # nobody's own settings
    command = [program, "sql", "-c", example[2]]
    asked = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=plain)  # noqa: S603
    lines = [line.rstrip() for line in asked.stdout.rstrip().splitlines()]
    return "\n".join([f"{example[1]}```text", *lines, "```"])


if __name__ == "__main__":
    PAGE.write_text(EXAMPLE.sub(answer, PAGE.read_text()))
