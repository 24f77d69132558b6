"""The loadable extension in Python's sqlite3 and in the sqlite3 shell: loads, records, exchanges, closes.

usage: check.py EXTENSION
Prints `N passed, 0 failed`, and ends with 1 when something failed.
"""

import sqlite3
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

EXTENSION = Path(sys.argv.pop(1)).resolve()
SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b); SELECT crsql_as_crr('t');"
SHELL_LIMIT_S = 30


def connect(path=":memory:"):
    """A connection of Python's own sqlite3 with the extension."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.enable_load_extension(True)
    # Without the suffix, as upstream's documentation does: SQLite adds it.
    connection.load_extension(str(EXTENSION.with_suffix("")))
    connection.enable_load_extension(False)
    return connection


def changes(connection):
    return connection.execute("SELECT * FROM crsql_changes").fetchall()


def close(connection):
    connection.execute("SELECT crsql_finalize()").fetchall()
    connection.close()


def shell(path, *statements):
    """Runs statements in the sqlite3 shell with the extension; returns what it prints."""
    return subprocess.run(
        ["sqlite3", "-bail", str(path), f".load {EXTENSION}", *statements, "SELECT crsql_finalize()"],
        check=True, capture_output=True, text=True, timeout=SHELL_LIMIT_S,
    ).stdout.splitlines()


class Extension(unittest.TestCase):
    def test_python_exchanges(self):
        one, two = connect(), connect()
        for connection in (one, two):
            connection.executescript(SCHEMA)
        one.execute("INSERT INTO t VALUES (200, 'é', x''), (-1, NULL, 1.5)")
        two.executemany("INSERT INTO crsql_changes VALUES (?,?,?,?,?,?,?,?,?)", changes(one))
        rows = "SELECT * FROM t ORDER BY id"
        self.assertEqual(one.execute(rows).fetchall(), two.execute(rows).fetchall())
        self.assertEqual(len(changes(two)), 4)
        close(one)
        close(two)

    def test_errors_are_errors(self):
        connection = connect()
        connection.executescript(SCHEMA)
        for _ in range(100):
            with self.assertRaisesRegex(sqlite3.Error, "not a packed primary key"):
                connection.execute("INSERT INTO crsql_changes VALUES ('t', x'', 'a', 1, 1, 0, zeroblob(16), 1, 1)")
        close(connection)

    def test_shell_and_python_share_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.db"
            self.assertEqual(shell(path, "PRAGMA journal_mode = WAL", SCHEMA), ["wal", "OK", "finalized"])
            python = connect(path)
            python.execute("INSERT INTO t VALUES (1, 'python', 0)")
            shell(path, "INSERT INTO t VALUES (2, 'shell', 0)", "UPDATE t SET id = 3 WHERE id = 2")
            self.assertEqual([row[5] for row in changes(python) if row[2] == "a"], [1, 3])
            # A column made by one is recorded by the other, whose connection is older.
            alter = "SELECT crsql_begin_alter('t'); ALTER TABLE t ADD COLUMN c; SELECT crsql_commit_alter('t');"
            shell(path, alter)
            python.execute("UPDATE t SET c = 1 WHERE id = 1")
            self.assertEqual([row[2] for row in changes(python)][-1], "c")
            close(python)

    def test_a_program_that_does_not_load_it_is_told(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.db"
            shell(path, SCHEMA)
            plain = sqlite3.connect(path)
            with self.assertRaisesRegex(sqlite3.OperationalError, "crsql_internal_sync_bit"):
                plain.execute("INSERT INTO t VALUES (1, 1, 1)")
            plain.close()


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=0).result
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad} passed, {bad} failed")
    sys.exit(bad > 0 or result.testsRun == 0)
