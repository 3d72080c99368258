"""drover config: each value and where it is from, and what is wrong with a file."""
import json
import unittest

from cluster import ClusterTest


class ConfigTest(ClusterTest):
    def setUp(self):
        super().setUp()
        for name in ("DROVER_CONFIG", "XDG_CONFIG_HOME"):
            self.env.pop(name, None)
        self.file = self.directory / "drover.toml"

    def values(self, *arguments):
        answer = json.loads(self.drover("config", "-o", "json", *arguments, check=0).stdout)
        return answer["file"], {value["key"]: (value["value"], value["from"]) for value in answer["values"]}

    def use(self, text):
        self.file.write_text(text)
        self.env["DROVER_CONFIG"] = str(self.file)

    def test_defaults(self):
        file, values = self.values()
        self.assertEqual(file, "")
        self.assertEqual(values["balance.round_seconds"], (1, "default"))
        self.assertEqual(values["balance.migrate"], (True, "default"))
        self.assertEqual(values["balance.accept"], ("always", "default"))
        self.assertEqual(values["watermarks.io_blocks.high"], (200000, "default"))
        self.assertEqual(values["DROVER_INSTANCE"], ("test", "environment"))
        self.assertEqual(values["DROVER_STATE_DIR"], (str(self.directory / "state"), "environment"))
        del self.env["DROVER_INSTANCE"]
        self.assertEqual(self.values()[1]["DROVER_INSTANCE"], ("default", "default"))

    def test_a_file(self):
        self.use('[balance]\nsafety = 5\npolicy = "none"\n[node.ws7.balance]\nmigrate = false\n[watermarks.io_blocks]\nlow = 7\n')
        origin = f"file {self.file}"
        file, values = self.values()
        self.assertEqual(file, str(self.file))
        self.assertEqual(values["balance.safety"], (5, origin))
        self.assertEqual(values["balance.policy"], ("none", origin))
        self.assertEqual(values["balance.migrate"], (True, "default"))
        self.assertEqual(values["watermarks.io_blocks.low"], (7, origin))
        self.assertEqual(values["watermarks.io_blocks.high"], (200000, "default"))
        self.assertEqual(self.values("--node", "ws7")[1]["balance.migrate"], (False, origin))
        self.assertEqual(self.values("--node", "ws8")[1]["balance.migrate"], (True, "default"))
        self.assertRegex(self.drover("config", check=0).stdout.decode(), rf"(?m)^balance\.safety +5 +{origin}$")

    def test_a_key_that_is_set_to_its_default_is_from_the_file(self):
        self.use("[balance]\nsafety = 3\n")
        self.assertEqual(self.values()[1]["balance.safety"], (3, f"file {self.file}"))

    def test_path(self):
        self.assert_error(self.drover("config", "--path"), 1, "/.config/drover/drover.toml", "DROVER_CONFIG")
        own = self.directory / ".config" / "drover" / "drover.toml"
        own.parent.mkdir(parents=True)
        own.touch()
        self.assertEqual(self.drover("config", "--path", check=0).stdout.decode(), f"{own}\n")
        self.use("")
        self.assertEqual(self.drover("config", "--path", check=0).stdout.decode(), f"{self.file}\n")
        self.file.unlink()
        for arguments in (["--path"], [], ["check"]):
            self.assert_error(self.drover("config", *arguments), 2, f"DROVER_CONFIG={self.file}", "no such file")

    def test_check_names_key_and_line(self):
        for text, line, *words in (
                ("[balance]\n# none\nsafety = 5000\n", 3, "balance.safety = 5000", "0 to 1000"),
                ("[balance]\nround = 1\nchoices = 0\n", 2, "balance.round = 1"),
                ("[balance]\npolicy = \"best\"\n", 2, "balance.policy = best", "balanced"),
                ("[balance]\nsafety = 1\n\n[node.ws7.balance]\nround_seconds = 1\n", 5, "node.ws7.balance.round_seconds", "[balance]"),
                ("[watermarks.disk]\nlow = 1\n", 2, "watermarks.disk.low", "run_queue"),
                ("[watermarks.io_blocks]\nlow = 300000\nweight = 1\n", 2, "watermarks.io_blocks.low = 300000", "200000"),
                ("[balance]\nsafety = 1\n[balanec]\nsafety = 1\n", 4, "balanec.safety", "[balance]"),
                ("safety = 1\n[balance]\n", 1, "safety", "[balance]"),
                ("[balance]\nsafety\n", 2, "balance.safety = true"),
                ("[balance]\nsafety = x", 2, "balance.safety = x")):
            self.file.write_text(text)
            self.assert_error(self.drover("config", "check", self.file), 2, f"{self.file}:{line}: ", *words)

    def test_check_of_a_sound_file(self):
        self.file.write_text("# mine\n[balance]\nsafety = 5\n[watermarks.io_blocks]\nhigh = 10\nlow = 5\n")
        self.assertEqual(self.drover("config", "check", self.file, check=0).stdout.decode(), f"{self.file}: sound, 3 keys\n")
        self.use("")
        self.assertEqual(self.drover("config", "check", check=0).stdout.decode(), f"{self.file}: sound, 0 keys\n")

    def test_bad_input(self):
        self.assert_error(self.drover("config", "check", self.directory), 2, str(self.directory), "can't be read")
        self.assert_error(self.drover("config", "check", "nowhere"), 2, "nowhere", "can't be read")
        self.assert_error(self.drover("config", "--path", "--node", "x"), 2, "--path")
        self.use("[balance]\nsafety = 5000\n")
        self.assert_error(self.drover("config"), 2, str(self.file), "balance.safety")


if __name__ == "__main__":
    unittest.main()
