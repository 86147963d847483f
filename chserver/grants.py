"""What the engine itself enforces: two roles, written as the engine's configuration files.

chDB knows one user, `default`. All its rights come from two roles, so a session that has said
`SET ROLE reader` is held by the engine's own checks to SELECT on `audit`; FILE, URL, REMOTE and
the other sources are out of its reach. This is the second wall. The first is allowlist.py: some
things the engine does not check at all (the scalar function file(), INTO OUTFILE, system tables).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from pathlib import Path

WRITER = "writer"
READER = "reader"

# Merges at once. The engine's own 32 would leave a small machine's inserts no processor.
_MERGES = 2

# SHOW rights too: system.tables and its like list what the role may see, and nothing else.
USERS = f"""\
<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <roles>
    <{WRITER}><grants><query>GRANT ALL ON *.* WITH GRANT OPTION</query></grants></{WRITER}>
    <{READER}><grants>
      <query>GRANT SELECT, SHOW TABLES, SHOW COLUMNS ON audit.*</query>
      <query>GRANT SHOW DATABASES ON audit.*</query>
    </grants></{READER}>
  </roles>
  <users>
    <default>
      <password></password>
      <profile>default</profile>
      <quota>default</quota>
      <networks><ip>::1</ip><ip>127.0.0.1</ip></networks>
      <grants><query>GRANT {WRITER}, {READER}</query></grants>
    </default>
  </users>
</clickhouse>
"""


def server(users_file: Path) -> str:
    """The engine's main configuration, which names the file of the users."""
    return f"""\
<clickhouse>
  <users_config>{escape(str(users_file))}</users_config>
  <background_pool_size>{_MERGES}</background_pool_size>
  <compression><case>
    <min_part_size>1</min_part_size>
    <min_part_size_ratio>0</min_part_size_ratio>
    <method>zstd</method>
    <level>1</level>
  </case></compression>
  <background_merges_mutations_concurrency_ratio>1</background_merges_mutations_concurrency_ratio>
</clickhouse>
"""
