"""What the command does when something is wrong: messages, exit codes, and nothing left behind."""

import json
import os
import pty
import resource
import shutil
import signal
import subprocess
import time
import unittest

from command_support import NOBODY, CommandTest, weights

is_root = os.geteuid() == 0
needs_root = unittest.skipUnless(is_root, "needs root to become another user")


class Usage(CommandTest):
    def test_exit_code_of_wrong_usage(self):
        for args in ([], ["nonsense"], ["compress", "--nonsense"], ["compress", "a", "--level", "best"],
                     ["compress", "a", "--fast", "--max"], ["compress", "a", "-c", "-o", "b"],
                     ["decompress", "a", "--rows", "1:2"], ["recover", "a"], ["compress", "a", "-T", "-3"]):
            self.write("a", b"data")
            self.fails(*args, code=2)
        self.assertEqual(self.names(), ["a"])

    def test_help_and_version(self):
        self.assertTrue(self.ok("--version").stdout.startswith(b"pith "))
        self.assertIn(b"compress", self.ok("--help").stdout)

    def test_archives_are_not_packed_again(self):
        self.write("a", b"data" * 100)
        self.ok("compress", "a")
        self.fails("compress", "a.pith", code=2, names=["a.pith", "--rebase"])

    def test_no_binary_data_to_a_terminal(self):
        self.write("a", b"data" * 100)
        main, terminal = pty.openpty()
        try:
            done = subprocess.run([self.pith, "compress", "-c", "a"], cwd=self.dir, stdout=terminal,
                                  stderr=subprocess.PIPE, timeout=60)
            self.assertEqual(done.returncode, 2)
            self.assertIn(b"terminal", done.stderr)
        finally:
            os.close(main)
            os.close(terminal)

    def test_progress_on_a_terminal(self):
        self.write("a", weights(1 << 19) * 24)
        main, terminal = pty.openpty()
        try:
            subprocess.run([self.pith, "compress", "a", "-T1"], cwd=self.dir, stdin=subprocess.DEVNULL, stderr=terminal,
                           timeout=60, check=True)
            shown = os.read(main, 1 << 16)
        finally:
            os.close(main)
            os.close(terminal)
        self.assertIn(b"%", shown)


class Damage(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("m.safetensors", self.model)
        self.ok("compress", "m.safetensors", "-o", "m.pith", "-q")
        self.packed = bytearray(self.read("m.pith"))

    def test_truncated(self):
        for size in (0, 3, 40, len(self.packed) // 2, len(self.packed) - 1):
            self.write("cut.pith", self.packed[:size])
            self.fails("decompress", "cut.pith", "-o", "out", names=["cut.pith"])
            self.fails("verify", "cut.pith", names=["cut.pith"])
            self.assertFalse((self.dir / "out").exists())

    def test_flipped_bit(self):
        self.packed[len(self.packed) // 2] ^= 4
        self.write("bad.pith", self.packed)
        self.fails("verify", "bad.pith", names=["bad.pith", "m.safetensors"])
        report = json.loads(self.fails("verify", "--json", "bad.pith").stdout)
        self.assertFalse(report[0]["ok"])
        self.fails("decompress", "bad.pith", "-o", "out", names=["bad.pith"])
        self.assertFalse((self.dir / "out").exists())

    def test_recover(self):
        self.write("other", b"text " * 2000)
        self.ok("compress", "m.safetensors", "other", "-o", "two.pith")
        packed = bytearray(self.read("two.pith"))
        packed[len(packed) // 3] ^= 4
        self.write("bad.pith", packed)
        self.fails("recover", "bad.pith", "-o", "saved", names=["bad.pith"])
        self.assertEqual(self.read("saved/other"), b"text " * 2000)
        damaged = self.read("saved/m.safetensors.damaged")
        self.assertEqual(len(damaged), len(self.model))
        self.assertNotEqual(damaged, self.model)

    def test_not_an_archive(self):
        self.fails("decompress", "m.safetensors", "-o", "out", names=["m.safetensors"])
        self.fails("verify", "m.safetensors", names=["m.safetensors"])
        self.fails("decompress", stdin=b"nonsense", names=["standard input"])

    def test_memory_limit(self):
        self.fails("decompress", "m.pith", "--memory", "none", code=2, names=["--memory"])
        self.ok("decompress", "m.pith", "--memory", "1.5G", "-o", "out")


class Files(CommandTest):
    def test_no_overwrite_without_force(self):
        self.write("a", b"data" * 100)
        self.write("a.pith", b"precious")
        self.fails("compress", "a", names=["a.pith", "--force"])
        self.assertEqual(self.read("a.pith"), b"precious")
        self.ok("compress", "a", "-f")
        self.fails("decompress", "a.pith", names=["a: exists", "--force"])
        self.fails("decompress", "a.pith", "-o", "a.pith", names=["a.pith"])
        self.ok("decompress", "a.pith", "-f")

    def test_outputs_that_are_no_plain_files(self):
        self.write("a", b"data" * 100)
        os.mkfifo(self.dir / "pipe")
        self.fails("compress", "a", "-o", "pipe", "-f", names=["pipe", "regular"])
        self.fails("compress", "a", "-o", "a", "-f", code=2, names=["a", "input"])
        self.write("real", b"")
        (self.dir / "link").symlink_to("real")
        self.fails("compress", "a", "-o", "link", names=["link", "--force"])
        self.ok("compress", "a", "-o", "link", "-f")
        self.assertTrue((self.dir / "link").is_symlink())
        self.ok("verify", "real")

    def test_missing_files(self):
        for command in ("compress", "decompress", "inspect", "verify"):
            self.fails(command, "absent.pith", names=["absent.pith", "No such file"])
        self.write("a", b"x")
        self.fails("compress", "a", "-o", "nowhere/a.pith", names=["nowhere/a.pith"])
        self.fails("compress", "a", "--base", "absent", names=["absent"])

    @needs_root
    def test_unreadable_file(self):
        self.write("secret", b"x" * 100).chmod(0o600)
        self.dir.chmod(0o777)
        self.fails("compress", "secret", user=NOBODY, group=NOBODY, names=["secret", "Permission denied"])
        self.assertEqual(self.names(), ["secret"])

    @needs_root
    def test_read_only_folder(self):
        self.write("a", b"x" * 100).chmod(0o644)
        self.fails("compress", "a", user=NOBODY, group=NOBODY, names=["a.pith", "Permission denied"])
        self.assertEqual(self.names(), ["a"])

    def test_file_size_limit(self):
        self.write("a", weights(1 << 16) * 8)
        limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))}
        self.fails("compress", "a", "-o", "b.pith", names=["b.pith"], **limit)
        self.assertEqual(self.names(), ["a"])
        self.ok("compress", "a", "-o", "b.pith")
        self.fails("decompress", "b.pith", "-o", "c", names=["c"], **limit)
        self.assertEqual(self.names(), ["a", "b.pith"])

    @needs_root
    def test_full_disk(self):
        disk = self.dir / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", disk], capture_output=True).returncode:
            self.skipTest("cannot mount a tmpfs here")
        try:
            self.write("a", weights(1 << 16) * 8)
            self.fails("compress", "a", "--fast", "-o", "disk/b.pith", names=["disk/b.pith", "No space"])
            self.ok("compress", "a", "-o", "b.pith")
            self.fails("decompress", "b.pith", "-o", "disk/c", names=["disk/c", "No space"])
            self.assertEqual(os.listdir(disk), [])
        finally:
            subprocess.run(["umount", disk], check=True)

    def test_closed_pipe(self):
        self.write("a", os.urandom(1 << 22))
        done = subprocess.run(f"'{self.pith}' compress -c a | head -c 10 > b", shell=True, cwd=self.dir,
                              capture_output=True, timeout=60)
        self.assertEqual(done.stderr, b"")
        full = subprocess.run(f"'{self.pith}' inspect a > /dev/full", shell=True, cwd=self.dir, capture_output=True,
                              timeout=60)
        self.assertEqual(full.returncode, 1)
        self.assertIn(b"standard output", full.stderr)


class Interruptions(CommandTest):
    def start(self, *args, **options):
        """Starts the command and waits until it writes its output."""
        process = subprocess.Popen([self.pith, *args], cwd=self.dir, stderr=subprocess.PIPE, **options)
        self.addCleanup(process.stderr.close)
        deadline = time.time() + 30
        while process.poll() is None and time.time() < deadline:
            if any(".part" in p.name for p in self.dir.iterdir()):
                return process
            time.sleep(0.01)
        self.fail("it ended too early: " + process.stderr.read().decode())

    def write_long_input(self):
        return self.write("a", os.urandom(1 << 16) + weights(1 << 18) * 64)

    def test_interrupt(self):
        self.write_long_input()
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            process = self.start("compress", "a", "--max", "-T1")
            process.send_signal(number)
            self.assertEqual(process.wait(60), code)
            self.assertIn(b"pith: error: interrupted", process.stderr.read())
            self.assertEqual([p.name for p in self.dir.iterdir()], ["a"])

    def test_interrupt_while_waiting_for_a_pipe(self):
        process = self.start("compress", "-o", "b.pith", stdin=subprocess.PIPE)
        self.addCleanup(process.stdin.close)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(60), 130)
        self.assertEqual(self.names(), [])

    def test_interrupt_extraction_of_a_folder(self):
        for name in "xy":
            self.write(f"d/{name}", weights(1 << 18, ord(name)) * 8 + os.urandom(1 << 25))
        self.ok("compress", "d", "--fast")
        shutil.rmtree(self.dir / "d")
        process = self.start("decompress", "d.pith", "-T1")
        process.send_signal(signal.SIGINT)
        self.assertIn(process.wait(60), (130, 0))  # 0: it was quicker than the signal
        if process.returncode:
            self.assertEqual(self.names(), ["d.pith"])

    def test_file_that_becomes_shorter(self):
        path = self.write_long_input()
        process = self.start("compress", "a", "--max", "-T1")
        os.truncate(path, 4096)
        self.assertEqual(process.wait(60), 1)
        self.assertIn(b"pith: error: ", process.stderr.read())
        self.assertEqual(self.names(), ["a"])


if __name__ == "__main__":
    unittest.main()
